package h2

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"portway/proxy/exchange"
)

// Content that waits to be read lies in chunks of two sizes.
const (
	smallChunk = 2 << 10
	bigChunk   = 16 << 10
)

type chunk struct {
	next *chunk
	r, w int
	buf  []byte
}

var (
	smallChunks = sync.Pool{New: func() any { return &chunk{buf: make([]byte, smallChunk)} }}
	bigChunks   = sync.Pool{New: func() any { return &chunk{buf: make([]byte, bigChunk)} }}
)

func (k *chunk) free() {
	k.next, k.r, k.w = nil, 0, 0
	if len(k.buf) == smallChunk {
		smallChunks.Put(k)
	} else {
		bigChunks.Put(k)
	}
}

var (
	errBodyClosed = errors.New("the request's body was closed")
	errBodySlow   = fmt.Errorf("%w: it stopped sending its request", exchange.ErrClientSlow)
)

// isEOF tells whether err is the true end of a message. What wraps io.EOF is not:
// somebody else's end cut the message off.
func isEOF(err error) bool {
	return err == io.EOF
}

// inbox holds content that the client sent on a stream until someone reads it:
// the body of a request, or one direction of a tunnel.
type inbox struct {
	s *stream

	mu          sync.Mutex
	more        sync.Cond
	first, last *chunk
	size        int
	err         error // why no more comes; io.EOF at the end of the message
	closed      bool
	expects     bool // the client waits for 100 Continue
	taken       int  // read, and not yet given back as window

	waiting atomic.Int64 // coarse time since when Read waits; 0: it does not
}

// requestBody is the way to an inbox that a Handler gets. Libraries, such as
// net/http's client, may read after the exchange has ended, when the stream serves
// another request already: then it leads nowhere. So it is not pooled.
type requestBody struct {
	mu sync.Mutex
	s  *stream // nil when the exchange has ended
}

var (
	_ exchange.Body     = (*requestBody)(nil)
	_ exchange.Buffered = (*requestBody)(nil)
)

// hold returns the stream, to be released by the caller; nil when it is over.
func (b *requestBody) hold() *stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.s != nil {
		b.s.refs.Add(1)
	}
	return b.s
}

// end cuts the way off.
func (b *requestBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s = nil
}

// Read reads content. Where the client waits for it, the first one has 100
// Continue sent.
func (b *requestBody) Read(p []byte) (int, error) {
	s := b.hold()
	if s == nil {
		return 0, errBodyClosed
	}
	defer s.release()
	return s.in.Read(p)
}

// Buffered returns how many bytes can be read without waiting.
func (b *requestBody) Buffered() int {
	s := b.hold()
	if s == nil {
		return 0
	}
	defer s.release()
	return s.in.Buffered()
}

// Close gives up what was not read.
func (b *requestBody) Close() error {
	if s := b.hold(); s != nil {
		s.in.Close()
		s.release()
	}
	return nil
}

// put appends content; it returns how much of it was dropped because nobody will
// read it.
func (b *inbox) put(p []byte) (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.err != nil {
		return len(p)
	}
	b.expects = false // content is there, so the client does not wait
	b.size += len(p)
	for len(p) > 0 {
		k := b.last
		if k == nil || k.w == len(k.buf) {
			pool := &bigChunks
			if k == nil && len(p) <= smallChunk {
				pool = &smallChunks
			}
			k = pool.Get().(*chunk)
			if b.last == nil {
				b.first = k
			} else {
				b.last.next = k
			}
			b.last = k
		}
		n := copy(k.buf[k.w:], p)
		k.w += n
		p = p[n:]
	}
	b.more.Signal()
	return 0
}

// pad counts padding, which takes window like content that was read at once.
func (b *inbox) pad(n int) {
	b.mu.Lock()
	b.taken += n
	back := b.back()
	b.mu.Unlock()
	if back > 0 {
		b.s.giveWindow(back)
	}
}

// back returns how much window it is time to give back; mu is held.
func (b *inbox) back() (n int) {
	if b.err == nil && !b.closed && b.taken >= b.s.windowStep() {
		n, b.taken = b.taken, 0
	}
	return n
}

// end says that no more comes. What is there can still be read if err is io.EOF.
// It returns how much was dropped otherwise.
func (b *inbox) end(err error) (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expects = false
	if !isEOF(err) {
		dropped = b.drop()
	}
	if b.err == nil || !isEOF(err) {
		b.err = err
	}
	b.more.Broadcast()
	return dropped
}

func (b *inbox) drop() (size int) {
	for k := b.first; k != nil; {
		next := k.next
		k.free()
		k = next
	}
	size = b.size
	b.first, b.last, b.size = nil, nil, 0
	return size
}

// Buffered returns how many bytes can be read without waiting.
func (b *inbox) Buffered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

// Read takes content out.
func (b *inbox) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	b.mu.Lock()
	if err := b.wait(); err != nil {
		b.mu.Unlock()
		return 0, err
	}
	for k := b.first; k != nil && n < len(p); k = b.first {
		m := copy(p[n:], k.buf[k.r:k.w])
		n += m
		k.r += m
		if k.r == k.w {
			if b.first = k.next; b.first == nil {
				b.last = nil
			}
			k.free()
		}
	}
	b.size -= n
	b.taken += n
	back := b.back()
	if b.size == 0 && isEOF(b.err) {
		err = io.EOF
	}
	b.mu.Unlock()
	if back > 0 {
		b.s.giveWindow(back)
	}
	return n, err
}

// wait waits until there is something to read; mu is held. It returns why there
// will not be.
func (b *inbox) wait() error {
	for {
		switch {
		case b.closed:
			return errBodyClosed
		case b.size > 0:
			return nil
		case b.err != nil:
			return b.err
		case b.expects:
			b.expects = false
			b.mu.Unlock()
			b.s.sendContinue()
			b.mu.Lock()
			continue
		}
		b.waiting.Store(b.s.c.srv.now())
		b.more.Wait()
		b.waiting.Store(0)
	}
}

// ready waits until a Read would not; for readers that take memory only then.
func (b *inbox) ready() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.wait()
}

// Close gives up what was not read.
func (b *inbox) Close() {
	b.mu.Lock()
	back := 0
	if !b.closed {
		b.closed = true
		back = b.drop() + b.taken
		b.taken = 0
		b.more.Broadcast()
	}
	b.mu.Unlock()
	if back > 0 {
		b.s.c.giveConnWindow(back)
	}
}

// endWith ends a request by its trailers.
func (b *inbox) endWith(trailers *exchange.Fields) {
	b.mu.Lock()
	if !b.closed {
		into := &b.s.ex.Request.Trailers
		for i := range trailers.Len() {
			into.Add(trailers.At(i).Name, trailers.At(i).Value)
		}
	}
	b.mu.Unlock()
	b.end(io.EOF)
}

// whole returns the size of the content if all of it is here, nobody has read of
// it yet, and there are no trailers.
func (b *inbox) whole() (size int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size, isEOF(b.err) && b.s.ex.Request.Trailers.Len() == 0
}

func (b *inbox) reset() {
	b.drop()
	b.err, b.closed, b.expects, b.taken = nil, false, false, 0
	b.waiting.Store(0)
}
