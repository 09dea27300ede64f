package balance

import (
	"sync"
	"time"
)

// BreakerRules say when a route that fails gets no requests for a while.
type BreakerRules struct {
	Percent  int           // of the requests that fail; 0: no breaker
	Window   time.Duration // in which they are counted
	Requests int           // fewer in that time say nothing
	For      time.Duration // how long no request is let through
}

// Outcome is what became of a request.
type Outcome uint8

// The outcomes.
const (
	Neither Outcome = iota // the origin had no part in it
	Good
	Bad
)

// Breaker is the circuit breaker of a route: closed while all is well, open when
// too many requests fail, and half-open when its time is over: then single requests
// try whether the origin works again.
type Breaker struct {
	mu     sync.Mutex
	window window
	state  breakerState
	until  int64 // open: until then; half-open: the next probe may begin then
	good   int   // probes in a row that went well
}

type breakerState uint8

const (
	closed breakerState = iota
	open
	halfOpen
)

// enoughProbes close the breaker again.
const enoughProbes = 3

// Allow tells whether a request may go through; if not, when to come back. probe is
// to be given to Done with the outcome.
func (b *Breaker) Allow(rules *BreakerRules, now int64) (probe bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.state == closed:
		return false, 0
	case now < b.until:
		return false, time.Duration(b.until - now)
	case b.state == open:
		b.state, b.good = halfOpen, 0
	}
	// One at a time; if nothing is heard of it for as long, the next one goes.
	b.until = now + int64(rules.For)
	return true, 0
}

// Resting tells whether Allow would let nothing through.
func (b *Breaker) Resting(now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state != closed && now < b.until
}

// Done counts a request that was let through, and tells if that has opened or closed
// the breaker.
func (b *Breaker) Done(rules *BreakerRules, probe bool, outcome Outcome, now int64) (opened, closedAgain bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case probe && b.state == halfOpen:
		return b.probed(rules, outcome, now)
	case probe || b.state != closed || outcome == Neither: // what began before tells nothing new
		return false, false
	}
	bad := 0
	if outcome == Bad {
		bad = 1
	}
	b.window.add(now, rules.Window, 1, bad)
	if bad == 0 {
		return false, false
	}
	all, failed := b.window.sum(now, rules.Window)
	if all < rules.Requests || failed*100 < all*rules.Percent {
		return false, false
	}
	b.state, b.until = open, now+int64(rules.For)
	return true, false
}

func (b *Breaker) probed(rules *BreakerRules, outcome Outcome, now int64) (opened, closedAgain bool) {
	b.until = now // the next one may go
	switch outcome {
	case Good:
		if b.good++; b.good == enoughProbes {
			b.state, b.window = closed, window{}
			return false, true
		}
	case Bad:
		b.state, b.until = open, now+int64(rules.For)
	}
	return false, false
}
