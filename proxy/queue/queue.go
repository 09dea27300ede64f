// Package queue is where exchanges wait for a place: first come, first served, so
// many at most, and each for so long at most. Nobody looks again and again: whoever
// gives a place back calls Serve.
package queue

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
)

// Bounds are how many may wait, and for how long.
type Bounds struct {
	Length   int
	Patience time.Duration
}

// ErrFull is returned at once where as many wait as may.
var ErrFull = errors.New("too many requests wait already")

// ErrLate is returned when there was no place in time.
var ErrLate = errors.New("no place in time")

// Queue holds those that wait for a T. The zero value is empty and ready. While
// nobody waits, it costs one atomic load per request.
type Queue[T any] struct {
	waiting atomic.Int32

	mu   sync.Mutex
	list []*waiter[T]
}

// waiter is one that waits: take tries to get it a place.
type waiter[T any] struct {
	fussy bool
	take  func() (T, bool)
	grant chan T
}

// Waiting tells whether anybody waits: who comes then has to wait too, or it would
// push in.
func (q *Queue[T]) Waiting() bool { return q.waiting.Load() > 0 }

// Wait waits until take gets a place, and returns what it got. take is called with
// the queue locked, and perhaps by another goroutine while this one waits. One that is
// fussy does not take every place: those behind it may be served before it. The error
// is ErrFull, ErrLate, or why ex was cancelled.
func (q *Queue[T]) Wait(ex *exchange.Exchange, b Bounds, fussy bool, take func() (T, bool)) (got T, err error) {
	w := &waiter[T]{fussy: fussy, take: take, grant: make(chan T, 1)}
	q.mu.Lock()
	if len(q.list) >= b.Length {
		q.mu.Unlock()
		return got, ErrFull
	}
	q.list = append(q.list, w)
	q.waiting.Add(1)
	q.serveLocked() // a place that was given back before it could be seen that we wait
	q.mu.Unlock()

	timer := time.NewTimer(b.Patience)
	defer timer.Stop()
	err = ErrLate
	select {
	case got := <-w.grant:
		return got, nil
	case <-timer.C:
	case <-ex.Context().Done():
		if err = ex.Canceled(); err == nil {
			err = ex.Context().Err()
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.list, w); i >= 0 {
		q.list = slices.Delete(q.list, i, i+1)
		q.waiting.Add(-1)
		return got, err
	}
	return <-w.grant, nil // it came at the last moment
}

// Serve gives what there is to those that have waited longest. It is called after
// a place was given back, or has come into being.
func (q *Queue[T]) Serve() {
	if !q.Waiting() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.serveLocked()
}

func (q *Queue[T]) serveLocked() {
	for i := 0; i < len(q.list); {
		w := q.list[i]
		got, ok := w.take()
		switch {
		case ok:
			q.list = slices.Delete(q.list, i, i+1)
			q.waiting.Add(-1)
			w.grant <- got
		case w.fussy:
			i++
		default:
			return // nor would those behind get one
		}
	}
}
