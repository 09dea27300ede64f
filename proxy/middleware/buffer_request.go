package middleware

import (
	"errors"
	"io"
	"net/http"

	"portway/label"
	"portway/proxy/exchange"
)

// bufferRequest reads the content of a request before the application gets any of it,
// so that a client with a slow line does not occupy a worker of the application, and
// gives it a Content-Length where the client gave none.
type bufferRequest struct {
	limit int64 // bytes; 0: content is passed on as it comes
}

var _ Middleware = (*bufferRequest)(nil)

// Labels binds buffer-request.
func (m *bufferRequest) Labels(s *label.Set) {
	s.Size(&m.limit, "buffer-request", 0,
		"Read the content of a request up to this size before the application gets it, so that slow clients do not keep it waiting. Larger content is passed on from there as it comes; 0 means from the start.",
		label.Example("1MiB"))
}

// Wrap reads the content, if it should be.
func (m *bufferRequest) Wrap(next exchange.Handler) exchange.Handler {
	if m.limit == 0 {
		return next
	}
	limit := m.limit
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		q := &ex.Request
		// In a gRPC stream both sides speak in turn: waiting for the end would wait forever.
		if q.Body == nil || q.Upgrade != nil || isGRPC(q.Fields.Get("content-type")) {
			next.Serve(ex)
			return
		}
		content, err := readUpTo(q.Body, limit)
		switch {
		case err == nil:
			q.Body = &bufferedBody{Body: q.Body, content: content}
		case errors.Is(err, io.EOF):
			q.Body = &bufferedBody{Body: q.Body, content: content, whole: true}
			if q.Trailers.Len() == 0 { // which HTTP/1.1 has no place for behind a Content-Length
				q.Length = int64(len(content))
			}
		case errors.Is(err, exchange.ErrClientSlow):
			ex.Failure = err
			refuse(ex, http.StatusRequestTimeout, "The request was sent too slowly.")
			return
		default:
			ex.Failure = err
			refuse(ex, http.StatusBadRequest, "The request broke off.")
			return
		}
		next.Serve(ex)
	})
}

// readUpTo reads until limit bytes are there, or the end is, which io.EOF tells. Memory
// grows with what has come, not with what a client announces.
func readUpTo(body exchange.Body, limit int64) (content []byte, err error) {
	const first = 4 << 10
	content = make([]byte, 0, min(limit, first))
	for int64(len(content)) < limit {
		if len(content) == cap(content) {
			grown := make([]byte, len(content), min(limit, 2*int64(cap(content))))
			copy(grown, content)
			content = grown
		}
		n, err := body.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		if err != nil {
			return content, err
		}
	}
	return content, nil
}

// bufferedBody yields content, and then what is left of Body.
type bufferedBody struct {
	exchange.Body
	content []byte // not yielded yet
	whole   bool   // nothing is left of Body
}

var (
	_ exchange.Body     = (*bufferedBody)(nil)
	_ exchange.Buffered = (*bufferedBody)(nil)
)

// Read gives what is at hand first.
func (b *bufferedBody) Read(p []byte) (int, error) {
	if len(b.content) == 0 {
		if b.whole {
			return 0, io.EOF
		}
		return b.Body.Read(p)
	}
	n := copy(p, b.content)
	b.content = b.content[n:]
	if len(b.content) == 0 && b.whole {
		return n, io.EOF
	}
	return n, nil
}

// Buffered tells how much is at hand.
func (b *bufferedBody) Buffered() int {
	if len(b.content) > 0 || b.whole {
		return len(b.content)
	}
	if r, ok := b.Body.(exchange.Buffered); ok {
		return r.Buffered()
	}
	return 0
}
