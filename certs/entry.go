package certs

import (
	"context"
	"crypto/tls"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"portway/certs/localca"
)

// entry is one name that needs a certificate. It lives as long as the name is
// in the set; its own goroutine (see keep) is the only one that changes its
// status.
type entry struct {
	name   string
	kind   kind
	wishes Wishes
	chain  []*candidate       // the CAs that may be asked; of its keeper once that runs
	ways   []way              // in which a CA is shown that the name is ours
	cancel context.CancelFunc // ends the goroutine; set when that starts

	status  atomic.Pointer[Status]
	cert    atomic.Pointer[tls.Certificate] // by an ACME CA; nil if there is none
	loaded  chan struct{}                   // closed once the storage was looked at
	changed atomic.Bool                     // the storage has another certificate than the one that is served
	force   atomic.Bool                     // another certificate is wanted, though this one is good
	atOnce  atomic.Bool                     // without waiting after earlier failures
	wake    chan struct{}                   // ends the goroutine's sleep
	above   atomic.Pointer[entry]           // the wildcard that covers it; nil if none does
	below   atomic.Pointer[[]*entry]        // those that a wildcard covers

	rule    atomic.Pointer[rule] // that admitted the host; nil if it was known beforehand
	visited atomic.Int64         // when a visitor came last, in Unix seconds; of those with a rule
	settled chan struct{}        // closed once there is a certificate, or a failure
	settle  func()               // closes it
	leaf    localca.Leaf         // by the internal CA: the certificate, or the temporary one

	mu    sync.Mutex
	hosts map[string]*localca.Leaf // below a wildcard that clients do not accept
}

func newEntry(name string, k kind, wishes Wishes, issuer, reason string) *entry {
	e := &entry{name: name, kind: k, wishes: wishes, loaded: make(chan struct{}), wake: make(chan struct{}, 1), settled: make(chan struct{})}
	s := Status{Name: name, State: Pending, Issuer: issuer}
	if k == refused {
		s.State, s.LastError = Failed, reason
	}
	e.settle = sync.OnceFunc(func() { close(e.settled) })
	if k != public {
		close(e.loaded)
		e.settle()
	}
	e.status.Store(&s)
	return e
}

// inherit takes over from the entry that stood for the same name with other wishes:
// what it serves is served until there is something better.
func (e *entry) inherit(old *entry) {
	if e.kind != public {
		return
	}
	if cert := old.cert.Load(); cert != nil {
		e.cert.Store(cert)
		s := *old.status.Load()
		s.LastError, s.NextTry, s.Attempts = "", time.Time{}, 0
		e.status.Store(&s)
	}
}

// current returns the status as of now.
func (e *entry) current() Status {
	s := *e.status.Load()
	if w, _ := e.shared(); w != nil {
		s = *w.status.Load()
		s.Name, s.Wildcard = e.name, w.name
	}
	if s.State == Valid && time.Now().After(s.NotAfter) {
		s.State = Failed
	}
	s.OnDemand = e.rule.Load() != nil
	return s
}

// update changes the status.
func (e *entry) update(change func(*Status)) {
	s := *e.status.Load()
	before := s
	change(&s)
	e.status.Store(&s)
	if s.State != before.State || s.Serial != before.Serial {
		e.rouseBelow()
	}
}

// sleep tells whether there is something to do: because it is time, or because
// somebody asked.
func (e *entry) sleep(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// renew asks the entry's goroutine for another certificate.
func (e *entry) renew() {
	e.force.Store(true)
	e.atOnce.Store(true)
	e.rouse()
}

// reread asks the entry's goroutine to look into the storage again.
func (e *entry) reread() {
	e.changed.Store(true)
	e.rouse()
}

// maxHosts bounds what clients can make Portway remember below one wildcard.
const maxHosts = 1000

// internalCert returns the internal CA's certificate of e for host.
func (e *entry) internalCert(ca *localca.CA, host string) (*tls.Certificate, error) {
	if e.kind != internal { // it will have another one, or cannot have any
		return ca.Provisional(&e.leaf, e.name)
	}
	// Clients refuse wildcards right below a top-level domain, like *.localhost.
	if base, ok := strings.CutPrefix(e.name, "*."); ok && !strings.Contains(base, ".") {
		return ca.Certify(e.hostLeaf(host), host)
	}
	return ca.Certify(&e.leaf, e.name)
}

func (e *entry) hostLeaf(host string) *localca.Leaf {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.hosts[host]
	if l == nil {
		if e.hosts == nil || len(e.hosts) >= maxHosts {
			e.hosts = make(map[string]*localca.Leaf)
		}
		l = new(localca.Leaf)
		e.hosts[host] = l
	}
	return l
}
