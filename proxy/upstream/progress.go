package upstream

import (
	"sync/atomic"
	"time"
)

// phase is what one direction of an exchange is doing.
type phase uint32

// Phases of receiving.
const (
	ours      phase = iota // nobody waits for the origin: no limit
	unused                 // in the pool: IdleConn
	awaitHead              // FirstByte, unless the request is still being sent
	awaitBody              // Idle
)

// Phases of sending beside the waiting for an answer.
const (
	quiet   phase = iota // sent, or sent together with the head
	writing              // Idle
	asking               // waiting for more from the client: no limit of ours
)

// progress is one direction's phase, with a counter beside it that changes at
// every step. Only the goroutine at work sets it, without looking at a clock; the
// sweeper compares it with what it saw before.
type progress struct {
	word atomic.Uint32
	step uint32 // of the setter
}

const phaseBits = 3

func (p *progress) set(ph phase) {
	p.step += 1 << phaseBits
	p.word.Store(p.step | uint32(ph))
}

func phaseOf(word uint32) phase { return phase(word & (1<<phaseBits - 1)) }

// watch is both directions of an exchange, and what the sweeper knows of them.
type watch struct {
	recv, send progress

	// The sweeper's, guarded by Pool.mu.
	seen  uint64
	since time.Time // when seen was seen first
}

// overdue tells whether no step was made for as long as the phases allow. It
// errs by at most the time between two sweeps, to the origin's favour.
func (w *watch) overdue(now time.Time, cfg *Config) (recv, send phase, over bool) {
	r, s := w.recv.word.Load(), w.send.word.Load()
	recv, send = phaseOf(r), phaseOf(s)
	if seen := uint64(r)<<32 | uint64(s); seen != w.seen || w.since.IsZero() {
		w.seen, w.since = seen, now
		return recv, send, false
	}
	limit := time.Duration(-1)
	switch {
	case recv == unused:
		limit = cfg.IdleConn
	case recv == awaitBody, recv == awaitHead && send == writing:
		limit = cfg.Idle
	case recv == awaitHead && send == quiet:
		limit = cfg.FirstByte
	}
	return recv, send, limit >= 0 && now.Sub(w.since) >= limit
}
