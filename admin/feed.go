package admin

import "sync"

// feed keeps the last things that happened, and hands new ones to those who listen.
type feed[T any] struct {
	limit int

	mu        sync.Mutex
	seq       uint64 // of the last one
	last      []T    // the oldest first
	listeners map[chan T]struct{}
}

// behind is how many things a listener may be late by. One that is slower misses some.
const behind = 256

func newFeed[T any](limit int) *feed[T] {
	return &feed[T]{limit: limit, listeners: make(map[chan T]struct{})}
}

// add takes in what made makes of its number. It never waits for a listener.
func (f *feed[T]) add(made func(seq uint64) T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	v := made(f.seq)
	if len(f.last) == f.limit {
		copy(f.last, f.last[1:])
		f.last = f.last[:f.limit-1]
	}
	f.last = append(f.last, v)
	for c := range f.listeners {
		select {
		case c <- v:
		default:
		}
	}
}

// all lists what is kept, the oldest first.
func (f *feed[T]) all() []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]T{}, f.last...)
}

// listen gives what is kept, and a channel on which all comes that happens after
// that, until stop.
func (f *feed[T]) listen() (past []T, next <-chan T, stop func()) {
	c := make(chan T, behind)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[c] = struct{}{}
	return append([]T{}, f.last...), c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, c)
	}
}
