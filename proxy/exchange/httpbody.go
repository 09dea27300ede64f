package exchange

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

var errBodyClosed = errors.New("the request's body was closed")

// httpBody is the body of a request through net/http.
type httpBody struct {
	x    *httpExchange
	ex   *Exchange
	h1   bool
	idle time.Duration // 0: no limit

	reading sync.Mutex // held while a Read is under way
	armed   time.Time  // when the read deadline was set

	mu     sync.Mutex
	busy   bool
	closed bool
	eof    bool

	ahead    [1]byte // what empty has read
	hasAhead bool
}

var _ Body = (*httpBody)(nil)

// peekTime is how long the end of a stream may come after its head, so that the
// request counts as one without content.
const peekTime = 200 * time.Millisecond

// empty tells whether an HTTP/3 request without a length has no content, for
// quic-go does not tell whether the stream has ended. Methods that are made to
// carry content are not asked: they may be the beginning of a conversation.
func (b *httpBody) empty() bool {
	r := b.x.r
	switch {
	case r.ProtoMajor != 3 || r.ContentLength > 0:
		return false
	case r.Method == http.MethodPost, r.Method == http.MethodPut, r.Method == http.MethodPatch, r.Method == http.MethodConnect:
		return false
	}
	_ = b.x.control.SetReadDeadline(time.Now().Add(peekTime))
	n, err := r.Body.Read(b.ahead[:])
	if n == 0 && err == io.EOF {
		return len(r.Trailer) == 0
	}
	_ = b.x.control.SetReadDeadline(time.Time{})
	b.hasAhead = n > 0
	return false
}

// Read reads content. Silence of the client is limited.
func (b *httpBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.Lock()
	if b.hasAhead && !b.closed && len(p) > 0 {
		defer b.mu.Unlock()
		b.hasAhead = false
		p[0] = b.ahead[0]
		return 1, nil
	}
	if b.closed || b.eof {
		defer b.mu.Unlock()
		if b.eof && !b.closed {
			return 0, io.EOF
		}
		return 0, errBodyClosed
	}
	b.busy = true
	if b.idle > 0 {
		if now := time.Now(); now.Sub(b.armed) > b.idle/4 {
			b.armed = now
			_ = b.x.control.SetReadDeadline(now.Add(b.idle))
		}
	}
	b.mu.Unlock()

	n, err := b.x.r.Body.Read(p)

	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = false
	switch {
	case err == io.EOF:
		for name, values := range b.x.r.Trailer {
			for _, value := range values {
				b.ex.Request.Trailers.AddString(name, value)
			}
		}
		b.ex.Request.Trailers.OnlyTrailers()
		b.eof = true
		if b.idle > 0 {
			_ = b.x.control.SetReadDeadline(time.Time{}) // from here on, silence is right
		}
	case b.closed:
		err = errBodyClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%w: nothing for %v in the middle of its request", ErrClientSlow, b.idle)
	case err != nil:
		err = clientGone(err)
	}
	return n, err
}

// Close gives up the rest.
func (b *httpBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	switch {
	case b.eof:
	case !b.h1:
		return b.x.r.Body.Close() // that ends a Read
	case b.busy:
		return b.x.control.SetReadDeadline(time.Unix(1, 0))
	}
	return nil
}

// ended tells whether the whole body was read.
func (b *httpBody) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.eof
}
