// Package balance decides which replica of a route a request goes to: what users
// can say about it (Options), what is known of each replica (Member), and the
// algorithms that choose (Picker). It knows nothing of connections.
//
// All of it works without locks on the way of a request, and allocates nothing
// there.
package balance

import (
	"sync"
	"sync/atomic"
	"time"
)

// Member is what is known of one replica of a route. It lives as long as the
// route has the replica, whatever else changes. Times are nanoseconds since 1970.
type Member struct {
	identity uint64

	inFlight atomic.Int64
	latency  latency
	began    atomic.Int64 // when it became one of several, for slow start; 0: long ago

	until    atomic.Int64 // it is left out until then; 0: it is not
	failures atomic.Int32 // in a row

	mu      sync.Mutex
	length  time.Duration // of the pause that until ends
	longest time.Duration // that length may become
	ejected bool          // by Eject, which keeps some, and not by Refused
	ended   int64         // when the last ejection was over
}

// Init prepares a member. What it is asked by Hash depends only on identity.
func (m *Member) Init(identity string) { m.identity = hashOf(identity) }

// Enter counts a request in, unless limit are in flight already; 0 is no limit.
func (m *Member) Enter(limit int64) bool {
	if m.inFlight.Add(1) > limit && limit > 0 {
		m.inFlight.Add(-1)
		return false
	}
	return true
}

// Leave counts a request out.
func (m *Member) Leave() { m.inFlight.Add(-1) }

// InFlight counts the requests that are with the replica.
func (m *Member) InFlight() int64 { return m.inFlight.Load() }

// Begin says that the replica has just become one of several: its slow start
// begins.
func (m *Member) Begin(now int64) { m.began.Store(now) }

// least is the share of a replica whose slow start has just begun.
const least = 0.05

// weight is the share of what it would get otherwise, from least to 1.
func (m *Member) weight(now int64, slowStart time.Duration) float64 {
	began := m.began.Load()
	if began == 0 || slowStart == 0 {
		return 1
	}
	w := float64(now-began) / float64(slowStart)
	if w >= 1 {
		m.began.CompareAndSwap(began, 0)
		return 1
	}
	return max(w, least)
}

// A replica that refuses connections is left out for a while, which doubles with
// each try that fails.
const (
	shortestPause = 500 * time.Millisecond
	longestPause  = 15 * time.Second
	// longestEjection bounds what Eject.For grows to.
	longestEjection = 5 * time.Minute
)

// Open tells whether the replica is not left out, or for long enough to be tried.
func (m *Member) Open(now int64) bool {
	until := m.until.Load()
	return until == 0 || now >= until
}

// Whole tells whether the replica is not left out at all.
func (m *Member) Whole() bool { return m.until.Load() == 0 }

// Claim tells whether a request may go to a replica that is Open. When its pause
// is over, one request gets true and begins the next one, twice as long, which ends
// at once if the request succeeds.
func (m *Member) Claim(now int64) bool {
	if m.until.Load() == 0 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch until := m.until.Load(); {
	case until == 0:
		return true
	case now < until:
		return false
	}
	m.length = min(2*m.length, m.longest)
	m.until.Store(now + int64(m.length))
	return true
}

// Refused notes that the replica took no connection, and tells if that is news.
func (m *Member) Refused(now int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.until.Load() != 0 {
		return false
	}
	m.length, m.longest, m.ejected = shortestPause, longestPause, false
	m.until.Store(now + int64(m.length))
	return true
}

// Answered notes that the replica took a request and gave a good answer; true if
// it was left out until now.
func (m *Member) Answered(now int64) bool {
	if m.until.Load() == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restore(now)
}

func (m *Member) restore(now int64) bool {
	if m.until.Load() == 0 {
		return false
	}
	if m.ejected {
		m.ended = now
	}
	m.failures.Store(0)
	m.until.Store(0)
	m.began.Store(now)
	return true
}

// Well notes that an exchange went well to its end.
func (m *Member) Well() {
	if m.failures.Load() != 0 {
		m.failures.Store(0)
	}
}

// Group is what the replicas of a route have in common: how many may be left out.
type Group struct{ mu sync.Mutex }

// Failed notes that one of members failed, and ejects it if that is one time too
// many; it tells for how long, 0 if it stays.
func (g *Group) Failed(members []*Member, m *Member, rules *Eject, now int64) time.Duration {
	if n := m.failures.Add(1); rules.After == 0 || int(n) < rules.After || !m.Whole() {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	left := -1 // without m
	for _, other := range members {
		if other.Whole() {
			left++
		}
	}
	if !enough(left, len(members), rules.Keep) {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.until.Load() != 0 {
		return 0
	}
	if !m.ejected || now-m.ended > int64(m.length) {
		m.length = rules.For
	} // else it did not last, and length has doubled already
	m.longest, m.ejected = max(longestEjection, rules.For), true
	m.until.Store(now + int64(m.length))
	return m.length
}

// Keep takes ejected ones back until there are as many as the rules want, for when
// others have gone.
func (g *Group) Keep(members []*Member, rules *Eject, now int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := 0
	for _, m := range members {
		if m.Whole() {
			left++
		}
	}
	for _, m := range members {
		if enough(left, len(members), rules.Keep) {
			return
		}
		m.mu.Lock()
		if m.ejected && m.restore(now) {
			left++
		}
		m.mu.Unlock()
	}
}

// enough tells whether left of all are at least keep percent.
func enough(left, all, keep int) bool { return left*100 >= all*keep }
