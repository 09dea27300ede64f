package middleware

import (
	"errors"
	"net/http"
	"sync/atomic"

	"portway/label"
	"portway/proxy/exchange"
)

// maxBody bounds the content of requests: by Content-Length before anything of it is
// read (and before the client, if it waits for 100 Continue, sends it), and where
// there is none, while it is passed on.
type maxBody struct {
	limit int64 // bytes; 0: none
}

var _ Middleware = (*maxBody)(nil)

// Labels binds max-body.
func (m *maxBody) Labels(s *label.Set) {
	s.Size(&m.limit, "max-body", 0,
		"Largest content of a request; larger ones get 413. 0 means no limit.", label.Example("10MiB"))
}

// Wrap adds the limit, if there is one.
func (m *maxBody) Wrap(next exchange.Handler) exchange.Handler {
	if m.limit == 0 {
		return next
	}
	limit := m.limit
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		q := &ex.Request
		switch {
		case q.Length > limit:
			tooLarge(ex)
			return
		case q.Length >= 0 || q.Body == nil: // the front sees to it that there is not more
			next.Serve(ex)
			return
		}
		body := &limitedBody{Body: q.Body, left: limit}
		q.Body = body
		next.Serve(ex)
		if body.exceeded.Load() && ex.Response.Status != http.StatusSwitchingProtocols {
			tooLarge(ex)
		}
	})
}

func tooLarge(ex *exchange.Exchange) {
	refuse(ex, http.StatusRequestEntityTooLarge, "The request is larger than this site takes.")
}

// errTooLarge is why a request is not passed on to its end.
var errTooLarge = errors.New("the request's content is larger than max-body allows")

// limitedBody yields at most left bytes, and then an error if there are more.
type limitedBody struct {
	exchange.Body
	left     int64
	exceeded atomic.Bool
}

var (
	_ exchange.Body     = (*limitedBody)(nil)
	_ exchange.Buffered = (*limitedBody)(nil)
)

// Read asks for one byte behind those that are allowed, to tell the end from too much.
func (b *limitedBody) Read(p []byte) (int, error) {
	if b.exceeded.Load() {
		return 0, errTooLarge
	}
	if len(p) == 0 {
		return b.Body.Read(p)
	}
	if b.left > 0 {
		n, err := b.Body.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		return n, err
	}
	n, err := b.Body.Read(p[:1])
	if n == 0 {
		return 0, err
	}
	b.exceeded.Store(true)
	return 0, errTooLarge
}

// Buffered tells how much is at hand.
func (b *limitedBody) Buffered() int {
	if r, ok := b.Body.(exchange.Buffered); ok {
		return r.Buffered()
	}
	return 0
}
