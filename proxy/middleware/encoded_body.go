package middleware

import (
	"errors"
	"io"
	"sync"

	"portway/proxy/exchange"
)

// encodedBody yields the content of another body, encoded.
type encodedBody struct {
	src    exchange.Body
	ready  exchange.Buffered // src, if it tells what is at hand
	coding coding
	left   int64 // of src; exchange.LengthUnknown for a stream

	encoder *encoder
	pending []byte // encoded, not read yet; lies in encoder.out
	err     error  // what comes behind pending

	mu      sync.Mutex // guards what follows; not held while reading
	reading bool
	closed  bool
}

var (
	_ exchange.Body     = (*encodedBody)(nil)
	_ exchange.Buffered = (*encodedBody)(nil)
)

func newEncodedBody(src exchange.Body, c coding, length int64) *encodedBody {
	ready, _ := src.(exchange.Buffered)
	return &encodedBody{src: src, ready: ready, coding: c, left: length, encoder: getEncoder(c)}
}

var errClosed = errors.New("read after the body was closed")

// Read yields encoded content. It returns no error but io.EOF without having yielded
// what the source gave before.
func (b *encodedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !b.enter() {
		return 0, errClosed
	}
	defer b.leave()
	if len(b.pending) == 0 && b.err == nil {
		if err := b.fill(); err != nil || len(b.pending) == 0 && b.err == nil {
			return 0, err
		}
	}
	n := copy(p, b.pending)
	if b.pending = b.pending[n:]; len(b.pending) == 0 {
		return n, b.err
	}
	return n, nil
}

// fill reads from the source until there is something to yield.
func (b *encodedBody) fill() error {
	e := b.encoder
	e.out = e.out[:0]
	for len(e.out) == 0 && b.err == nil {
		n, err := b.src.Read(e.in[:])
		if n == 0 && err == nil {
			return nil // it is the caller who gives up on a source that yields nothing
		}
		if b.left > 0 {
			b.left -= int64(n)
		}
		if _, werr := e.writer.Write(e.in[:n]); werr != nil {
			return werr
		}
		switch b.err = err; {
		case err == io.EOF:
			err = e.writer.Close()
		case err != nil, b.left < 0 && (b.ready == nil || b.ready.Buffered() == 0):
			err = e.writer.Flush() // nothing else may come for long
		}
		if err != nil {
			return err
		}
	}
	b.pending = e.out
	return nil
}

// Buffered tells whether the next Read has to wait: not if something is encoded
// already, and not if all that it takes to encode something is at hand.
func (b *encodedBody) Buffered() int {
	if !b.enter() {
		return 0
	}
	defer b.leave()
	if n := len(b.pending); n > 0 || b.ready == nil || b.err != nil {
		return n
	}
	if n := b.ready.Buffered(); b.left < 0 || int64(n) >= b.left {
		return n
	}
	return 0
}

// enter begins to use the encoder; false if it is gone.
func (b *encodedBody) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = !b.closed
	return b.reading
}

func (b *encodedBody) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading = false; b.closed {
		b.release()
	}
}

// Close closes the source, which makes a blocked Read return, and gives the encoder
// back as soon as nobody uses it.
func (b *encodedBody) Close() error {
	err := b.src.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed = true; !b.reading {
		b.release()
	}
	return err
}

// release gives the encoder back once.
func (b *encodedBody) release() {
	if b.encoder != nil {
		putEncoder(b.coding, b.encoder)
		b.encoder, b.pending = nil, nil
	}
}
