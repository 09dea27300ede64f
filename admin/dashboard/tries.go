package dashboard

import (
	"crypto/rand"
	"crypto/sha256"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Bounds of wrong passwords: a bucket of so many, which fills up again by one in each
// time. That of one client is small. That of all together keeps many clients from trying
// much; while it is empty nobody gets in by the password, but by a link.
const (
	triesOfOne   = 5
	refillOfOne  = 30 * time.Second
	triesOfAll   = 50
	refillOfAll  = 2 * time.Second
	maxRemember  = 4096 // clients
	checkingOnce = 2    // passwords at the same time, since each takes a processor for a while
)

// tries counts wrong passwords.
type tries struct {
	mu      sync.Mutex
	clients map[netip.Prefix]*bucket
	all     bucket
	busy    int
}

// bucket is how many are left, and as of when.
type bucket struct {
	used float64
	at   time.Time
}

// room tells how long to wait until there is room for one.
func (b *bucket) room(now time.Time, size float64, refill time.Duration) time.Duration {
	b.used = max(0, b.used-now.Sub(b.at).Seconds()/refill.Seconds())
	b.at = now
	if over := b.used + 1 - size; over > 0 {
		return time.Duration(over * float64(refill))
	}
	return 0
}

// take lets a try begin, or tells how long to wait. It counts as wrong until good is
// called; done is called when it is over.
func (t *tries) take(client string, now time.Time) (good, done func(), wait time.Duration) {
	key := network(client)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients == nil {
		t.clients = make(map[netip.Prefix]*bucket)
	}
	b := t.clients[key]
	if b == nil {
		t.forget(now)
		b = &bucket{at: now}
		t.clients[key] = b
	}
	wait = max(b.room(now, triesOfOne, refillOfOne), t.all.room(now, triesOfAll, refillOfAll))
	if wait == 0 && t.busy >= checkingOnce {
		wait = time.Second
	}
	if wait > 0 {
		return nil, nil, wait
	}
	b.used++
	t.all.used++
	t.busy++
	return func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			delete(t.clients, key)
			t.all.used = max(0, t.all.used-1)
		}, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.busy--
		}, 0
}

// forget makes room for another client: those go who have all their tries again, or
// else all, since the bound of all together holds anyway.
func (t *tries) forget(now time.Time) {
	if len(t.clients) < maxRemember {
		return
	}
	for key, b := range t.clients {
		if b.room(now, triesOfOne, refillOfOne); b.used == 0 {
			delete(t.clients, key)
		}
	}
	if len(t.clients) >= maxRemember {
		clear(t.clients)
	}
}

// network is who a client is: nobody has a single IPv6 address only.
func network(client string) netip.Prefix {
	a, err := netip.ParseAddr(client)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// clientOf is the address of a connection, without its port.
func clientOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote // of a unix socket
	}
	return host
}

// hostname is a Host field without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// Bounds of links to sign in.
const (
	linkTime = 10 * time.Minute
	maxLinks = 16
)

// links are what lets somebody in once, by their hashes. They are in memory only.
type links struct {
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

// add makes one.
func (l *links) add(now time.Time) string {
	token := rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil {
		l.until = make(map[[sha256.Size]byte]time.Time)
	}
	for len(l.until) >= maxLinks {
		var oldest [sha256.Size]byte
		for key, until := range l.until {
			if first, ok := l.until[oldest]; !ok || until.Before(first) {
				oldest = key
			}
		}
		delete(l.until, oldest)
	}
	l.until[sha256.Sum256([]byte(token))] = now.Add(linkTime)
	return token
}

// use tells whether a link still works. It does not from then on. What is compared are
// hashes, so how long it takes tells nothing.
func (l *links) use(token string, now time.Time) bool {
	key := sha256.Sum256([]byte(token))
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.until[key]
	delete(l.until, key)
	return ok && now.Before(until)
}

// clear ends all of them.
func (l *links) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.until)
}
