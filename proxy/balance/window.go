package balance

import (
	"sync"
	"time"
)

// slots is into how many parts a window is cut; it moves on by one part.
const slots = 10

// window counts what happened in the time that is just over.
type window struct {
	parts [slots]struct {
		number    int64 // of the part of time; others have been long ago
		all, some int
	}
}

// add counts all, and some of them, at the time now.
func (w *window) add(now int64, length time.Duration, all, some int) {
	number := now / int64(length/slots)
	p := &w.parts[number%slots]
	if p.number != number {
		p.number, p.all, p.some = number, 0, 0
	}
	p.all += all
	p.some += some
}

// sum gives what was counted in the window that ends now.
func (w *window) sum(now int64, length time.Duration) (all, some int) {
	number := now / int64(length/slots)
	for i := range w.parts {
		if p := &w.parts[i]; number-p.number < slots {
			all += p.all
			some += p.some
		}
	}
	return all, some
}

// Budget bounds how many retries a route makes, so that they do not overrun what
// is left of its replicas.
type Budget struct {
	mu     sync.Mutex
	window window
}

const (
	// budgetWindow is the time whose requests count.
	budgetWindow = 10 * time.Second
	// freeRetries may be made in that time however few requests there are.
	freeRetries = 5
)

// Request counts a request.
func (b *Budget) Request(now int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.window.add(now, budgetWindow, 1, 0)
}

// Retry tells whether one more retry keeps to percent of the requests, and counts it.
func (b *Budget) Retry(now int64, percent int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests, retries := b.window.sum(now, budgetWindow)
	if retries >= freeRetries && (retries+1)*100 > requests*percent {
		return false
	}
	b.window.add(now, budgetWindow, 0, 1)
	return true
}
