package h1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// maxDrain is how much content that nobody wants is read so that the connection
// can be kept.
const maxDrain = 256 << 10

var errBodyClosed = errors.New("request body read after it was closed or the exchange ended")

// requestBody is the content of a request. The handler, or another goroutine of
// its exchange, reads it while the connection's goroutine may be writing the
// response.
type requestBody struct {
	conn   *conn
	reader BodyReader
	// expect is true as long as the client waits for 100 Continue and has no content
	// sent of its own accord.
	expect atomic.Bool

	mu          sync.Mutex
	reading     bool
	closed      bool
	interrupted bool // the deadline for reads is past
}

var (
	_ exchange.Body     = (*requestBody)(nil)
	_ exchange.Buffered = (*requestBody)(nil)
)

// start begins with the request whose head was rh; rest was read behind it.
func (b *requestBody) start(rh *RequestHead, rest []byte, trailers *exchange.Fields) {
	b.reader.Reset(rh.Framing, rest, b.conn.nc, trailers, b.conn.srv.Limits)
	b.expect.Store(rh.ExpectContinue)
	b.mu.Lock()
	b.closed = false
	b.mu.Unlock()
}

// enter makes sure that Read and Buffered have the reader for themselves.
func (b *requestBody) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.reading {
		return false
	}
	b.reading = true
	return true
}

func (b *requestBody) leave() (closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	return b.closed
}

// Read yields content. exchange.ErrClientSlow, exchange.ErrClientGone and
// *SyntaxError say what the client did wrong.
func (b *requestBody) Read(p []byte) (int, error) {
	if !b.enter() {
		return 0, errBodyClosed
	}
	c := b.conn
	wait := b.reader.Buffered() == 0 && !b.reader.Done()
	if b.expect.Load() && (!wait || c.sendEarly(continueLine)) {
		b.expect.Store(false)
	}
	if wait {
		c.recv.set(receiving)
	}
	n, err := b.reader.Read(p)
	if err == nil && n >= wire.Small/2 {
		n, err = b.readMore(p, n)
	}
	next := paused
	if b.reader.Done() {
		next = waiting
	}
	slow := !c.recv.change(next)
	closed := b.leave()
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case closed:
		return n, errBodyClosed
	case slow:
		return n, fmt.Errorf("%w: nothing came of the request's content for %v", exchange.ErrClientSlow, c.srv.limits.Body)
	}
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		return n, err
	}
	c.cancel(exchange.ErrClientGone)
	return n, fmt.Errorf("%w in the middle of the request's content", exchange.ErrClientGone)
}

// readMore goes on filling p, of which n bytes are filled, with what has come
// already. TLS gives a record of 16 KiB at a time, and to pass on four at once costs
// the origin's side little more than to pass on one.
func (b *requestBody) readMore(p []byte, n int) (int, error) {
	cork := b.conn.cork
	if cork == nil || !cork.NoWait(true) {
		return n, nil
	}
	defer cork.NoWait(false)
	for len(p)-n >= wire.Small {
		k, err := b.reader.Read(p[n:])
		n += k
		switch {
		case err == io.EOF:
			return n, err
		case errors.Is(err, wire.ErrNothing):
			b.reader.resume()
			return n, nil
		case err != nil:
			return n, nil // comes again with the next Read
		}
	}
	return n, nil
}

// Buffered tells how much content is at hand.
func (b *requestBody) Buffered() int {
	if !b.enter() {
		return 0
	}
	n := b.reader.Buffered()
	b.leave()
	return n
}

// Close makes Read fail from now on. What was not read is dealt with when the
// exchange is over.
func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.reading && !b.interrupted {
		b.interrupted = true
		b.conn.wakeReader()
	}
	return nil
}

// endsConnection tells, when the response begins, that the connection cannot be
// used again: too much content is left that nobody has asked for, or it is broken,
// or nobody knows whether it will come at all.
func (b *requestBody) endsConnection() bool {
	if b.expect.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading {
		return false
	}
	broken := b.reader.err != nil && !b.reader.ended() && !b.interrupted
	return broken || b.reader.kind == FixedLength && b.reader.left > maxDrain
}

// malformed tells what was wrong with the content as far as it was read, nil if
// nothing.
func (b *requestBody) malformed() *SyntaxError {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading {
		return nil
	}
	syntax, _ := b.reader.err.(*SyntaxError) //nolint:errorlint // is never wrapped there
	return syntax
}

// settle reads what is left of the content, once the exchange is over, and tells
// whether its end was reached.
func (b *requestBody) settle() bool {
	c := b.conn
	if b.interrupted {
		b.interrupted = false
		b.reader.resume()
		_ = c.nc.SetReadDeadline(time.Time{})
	}
	if b.expect.Load() || c.recv.phase() == expired {
		return false
	}
	if b.reader.ended() {
		return true
	}
	c.recv.set(draining)
	buf := wire.Get(wire.Small)
	defer wire.Put(buf)
	for n := 0; n < maxDrain; {
		k, err := b.reader.Read(buf)
		if n += k; err != nil {
			return err == io.EOF
		}
	}
	return false
}

// ended tells whether the end of the message was reached, though some content may
// not have been read.
func (b *BodyReader) ended() bool { return b.err == io.EOF }

// resume forgets that a read was interrupted.
func (b *BodyReader) resume() {
	var timeout net.Error
	if errors.As(b.err, &timeout) && timeout.Timeout() {
		b.err = nil
	}
}
