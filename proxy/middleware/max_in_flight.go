package middleware

import (
	"net/http"
	"sync/atomic"
	"time"

	"portway/label"
	"portway/proxy/exchange"
	"portway/proxy/queue"
)

// maxInFlight bounds the requests of a route that are being worked on. A request
// counts until its answer is written to the end; a WebSocket as long as it is open.
type maxInFlight struct {
	limit int // 0: none
	queue queue.Bounds
}

var _ Middleware = (*maxInFlight)(nil)

// Labels binds max-in-flight.
func (m *maxInFlight) Labels(s *label.Set) {
	s.Int(&m.limit, "max-in-flight", 0,
		"Most requests of this route at the same time; others get 503 at once, or wait. 0 means no limit.", label.Example("100"))
	s.Int(&m.queue.Length, "max-in-flight.queue", 0,
		"How many of the others wait for a place; who came first gets the next one.", label.Needs("max-in-flight"), label.Example("200"))
	s.Duration(&m.queue.Patience, "max-in-flight.wait", 10*time.Second,
		"How long they wait. Then they get 503.", label.Needs("max-in-flight.queue"), label.Example("30s"))
}

// Wrap adds the limit, if there is one.
func (m *maxInFlight) Wrap(next exchange.Handler) exchange.Handler {
	if m.limit == 0 {
		return next
	}
	return &inFlight{next: next, limit: int64(m.limit), bounds: m.queue}
}

type inFlight struct {
	next   exchange.Handler
	limit  int64
	now    atomic.Int64
	queue  queue.Queue[struct{}]
	bounds queue.Bounds
}

var (
	_ exchange.Handler  = (*inFlight)(nil)
	_ exchange.DoneFunc = (*inFlight)(nil)
)

// Serve takes a place, waits for one, or refuses.
func (h *inFlight) Serve(ex *exchange.Exchange) {
	if (h.queue.Waiting() || !h.enter()) && !h.wait(ex) {
		refuse(ex, http.StatusServiceUnavailable, "The site is too busy.")
		retryAfter(ex, time.Second)
		return
	}
	ex.OnDone(h)
	h.next.Serve(ex)
}

// wait waits for a place, and tells if there was one.
func (h *inFlight) wait(ex *exchange.Exchange) bool {
	if h.bounds.Length == 0 {
		return false
	}
	_, err := h.queue.Wait(ex, h.bounds, false, func() (struct{}, bool) { return struct{}{}, h.enter() })
	return err == nil
}

func (h *inFlight) enter() bool {
	for {
		n := h.now.Load()
		if n >= h.limit {
			return false
		}
		if h.now.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Done gives the place back.
func (h *inFlight) Done(*exchange.Exchange, int64, error) {
	h.now.Add(-1)
	h.queue.Serve()
}
