package discovery

import (
	"math/rand/v2"
	"time"
)

// coalescer decides when changes are passed on: after a quiet time, but not
// later than a maximum delay after the first of them. It holds times only; the
// owner has the timer.
type coalescer struct {
	quiet, max  time.Duration
	first, last time.Time // of the changes not passed on yet; zero if there are none
	passed      time.Time // when changes were last passed on
	urgent      bool
}

// touch notes a change that may be one of a burst.
func (c *coalescer) touch(now time.Time) {
	if c.first.IsZero() {
		c.first = now
	}
	c.last = now
}

// join notes a change that ends waiting for something, rather than announcing
// that there is more to come.
func (c *coalescer) join(now time.Time) {
	if c.first.IsZero() {
		c.touch(now)
	}
}

// hurry notes a change that is not to wait for silence, but only a moment if
// changes were passed on just now.
func (c *coalescer) hurry(now time.Time) {
	c.touch(now)
	c.urgent = true
}

// due returns when the changes are to be passed on. While waiting for what
// belongs to them, only urgency and the maximum delay count.
func (c *coalescer) due(waiting bool) (at time.Time, ok bool) {
	if c.first.IsZero() {
		return time.Time{}, false
	}
	at = c.first.Add(c.max)
	if quiet := c.last.Add(c.quiet); !waiting && quiet.Before(at) {
		at = quiet
	}
	if soon := c.passed.Add(c.quiet / 10); c.urgent && soon.Before(at) {
		at = soon
	}
	return at, true
}

// overdue tells whether the maximum delay has passed.
func (c *coalescer) overdue(now time.Time) bool {
	return !c.first.IsZero() && !now.Before(c.first.Add(c.max))
}

// pass notes that all changes have been passed on.
func (c *coalescer) pass(now time.Time) {
	c.first, c.last, c.urgent, c.passed = time.Time{}, time.Time{}, false, now
}

// backoff returns how long to wait before try n (from 1) of something that
// fails: doubling from first up to limit, with up to half of it taken off at
// random, so that many do not try at the same moment.
func backoff(n int, first, limit time.Duration) time.Duration {
	d := limit
	if shift := n - 1; shift < 20 && first<<shift < limit {
		d = first << shift
	}
	return d - rand.N(d/2+1)
}
