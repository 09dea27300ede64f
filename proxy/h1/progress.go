package h1

import (
	"sync/atomic"
	"time"
)

// phase is what one direction of a connection is doing.
type phase uint32

// Phases of receiving.
const (
	fresh     phase = iota // a new connection without a byte: Timeouts.Head
	idle                   // between requests: Timeouts.Idle
	head                   // of a request, all of it: Timeouts.Head
	waiting                // for the handler: no limit, but the client may be gone
	receiving              // content: Timeouts.Body until the response begins
	paused                 // as waiting, while there is content that nobody reads
	draining               // content that nobody wants, all of it: drainTime
	lingering              // until the client closes, all of it: drainTime
	tunneling              // no limit
	done                   // this direction of a tunnel, either one, is at its end: Timeouts.Stall for the other
	expired                // given up from outside; set by expire only
)

// Phases of sending.
const (
	quiet     phase = iota // no response yet
	writing                // Timeouts.Stall
	answering              // waiting for more from the handler
)

// progress is one direction's phase, with a counter beside it that changes at
// every step. One goroutine at a time sets it, without looking at a clock; the
// sweeper compares it with what it saw before.
type progress struct {
	word atomic.Uint32
	step uint32 // of the setter

	// The sweeper's.
	seen   uint32
	since  time.Time // when seen was seen first
	sweeps int       // how often it was seen since
}

const phaseBits = 4

func (p *progress) set(ph phase) { p.word.Store(p.next(ph)) }

func (p *progress) next(ph phase) uint32 {
	p.step += 1 << phaseBits
	return p.step | uint32(ph)
}

// change is set, unless the phase has expired.
func (p *progress) change(to phase) bool {
	old := p.word.Load()
	return phaseOf(old) != expired && p.word.CompareAndSwap(old, p.next(to))
}

// expire ends what word says, unless something has happened since.
func (p *progress) expire(word uint32) bool {
	return p.word.CompareAndSwap(word, uint32(expired))
}

func (p *progress) phase() phase { return phaseOf(p.word.Load()) }

func phaseOf(word uint32) phase { return phase(word & (1<<phaseBits - 1)) }

// sweep gives the phase, and for how long nothing has changed, up to one sweep
// too short.
func (p *progress) sweep(now time.Time) (ph phase, still time.Duration) {
	word := p.word.Load()
	if word != p.seen || p.since.IsZero() {
		p.seen, p.since, p.sweeps = word, now, 0
	} else {
		p.sweeps++
	}
	return phaseOf(word), now.Sub(p.since)
}
