package wire

import (
	"sync"
	"time"
)

// Conns are the open connections of a front. One sweeper looks after all of them,
// as long as there are any. The zero value is ready.
type Conns[C comparable] struct {
	mu       sync.Mutex
	open     map[C]struct{}
	closing  bool
	sweeping bool
	empty    chan struct{} // closed when the last connection is gone behind Drain
}

// Sweeper is what a front does about its connections. Begin, Added and End are
// called with the Conns locked: they must not use it.
type Sweeper[C comparable] interface {
	// Begin is called ahead of the first connection, also when there were none for a
	// while; it says how often Sweep is to be called.
	Begin() (every time.Duration)
	// Added is called for a connection before any Sweep sees it.
	Added(c C)
	// Sweep looks after conns. It may last, but not keep the list.
	Sweep(now time.Time, conns []C)
	// End is called when no connection is left.
	End()
}

// Add takes c in and sees to it that s runs; false if draining has begun.
func (l *Conns[C]) Add(c C, s Sweeper[C]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	if l.open == nil {
		l.open = make(map[C]struct{})
	}
	if !l.sweeping {
		l.sweeping = true
		go l.sweep(s, s.Begin())
	}
	l.open[c] = struct{}{}
	s.Added(c)
	return true
}

// Remove forgets c, which has ended.
func (l *Conns[C]) Remove(c C) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	if l.closing && len(l.open) == 0 {
		close(l.empty)
	}
}

// Drain lets no connection in any more, and calls drain for each that is open. What
// it returns is closed when none is left.
func (l *Conns[C]) Drain(drain func(c C)) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closing {
		l.closing = true
		l.empty = make(chan struct{})
		if len(l.open) == 0 {
			close(l.empty)
		}
	}
	for c := range l.open {
		drain(c)
	}
	return l.empty
}

// All appends the open connections to list.
func (l *Conns[C]) All(list []C) []C {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		list = append(list, c)
	}
	return list
}

func (l *Conns[C]) sweep(s Sweeper[C], every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var conns []C
	for now := range tick.C {
		if conns = l.All(conns[:0]); len(conns) == 0 && l.over(s) {
			return
		}
		s.Sweep(now, conns)
		clear(conns)
	}
}

// over ends sweeping, unless a connection has come meanwhile.
func (l *Conns[C]) over(s Sweeper[C]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) > 0 {
		return false
	}
	l.sweeping = false
	s.End()
	return true
}
