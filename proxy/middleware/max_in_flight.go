package middleware

import (
	"net/http"
	"sync/atomic"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// maxInFlight bounds the requests of a route that are being worked on. A request
// counts until its answer is written to the end; a WebSocket as long as it is open.
type maxInFlight struct {
	limit int // 0: none
}

var _ Middleware = (*maxInFlight)(nil)

// Labels binds max-in-flight.
func (m *maxInFlight) Labels(s *label.Set) {
	s.Int(&m.limit, "max-in-flight", 0,
		"Most requests of this route at the same time; others get 503 at once. 0 means no limit.", label.Example("100"))
}

// Wrap adds the limit, if there is one.
func (m *maxInFlight) Wrap(next exchange.Handler) exchange.Handler {
	if m.limit == 0 {
		return next
	}
	return &inFlight{next: next, limit: int64(m.limit)}
}

type inFlight struct {
	next  exchange.Handler
	limit int64
	now   atomic.Int64
}

var (
	_ exchange.Handler  = (*inFlight)(nil)
	_ exchange.DoneFunc = (*inFlight)(nil)
)

// Serve takes a place, or refuses.
func (h *inFlight) Serve(ex *exchange.Exchange) {
	if !h.enter() {
		refuse(ex, http.StatusServiceUnavailable, "The site is too busy.")
		retryAfter(ex, time.Second)
		return
	}
	ex.OnDone(h)
	h.next.Serve(ex)
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
func (h *inFlight) Done(*exchange.Exchange, int64, error) { h.now.Add(-1) }
