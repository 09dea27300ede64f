package cache

import (
	"io"
	"sync"
	"sync/atomic"

	"portway/proxy/cache/disk"
	"portway/proxy/cache/policy"
	"portway/proxy/exchange"
)

// reader reads a content, or a part of it, as the body of a response. It is recycled
// when its exchange is over.
type reader struct {
	content *content
	ex      *exchange.Exchange // that gets the trailers; nil for a part
	at      int64              // in the content; guarded by its lock as long as it is not complete
	to      int64              // where to end; unknown: where the content ends
	piece   int                // that at is in, or one before
	closed  atomic.Bool

	file    *disk.Reader // of a content that is in a file
	buffer  *[disk.ChunkSize]byte
	chunk   []byte // in buffer, which was read at chunkAt
	chunkAt int64
}

var (
	_ exchange.Body     = (*reader)(nil)
	_ exchange.Buffered = (*reader)(nil)
	_ exchange.Splicer  = (*reader)(nil)
	_ exchange.DoneFunc = (*reader)(nil)
)

const unknown = exchange.LengthUnknown

var readers = sync.Pool{New: func() any { return new(reader) }}

// newReader makes the body of ex's response: a part of the content, or all of it; nil
// if that cannot be read. pinned is as for attach.
func newReader(c *content, ex *exchange.Exchange, part policy.Range, pinned bool) *reader {
	r := readers.Get().(*reader)
	r.content, r.at, r.to, r.piece = c, part.From, part.To, 0
	if part.To == unknown {
		r.ex = ex
	}
	if !c.attach(r, pinned) || !r.begin() {
		c.detach(r)
		r.recycle()
		return nil
	}
	ex.OnDone(r)
	return r
}

func (r *reader) recycle() {
	r.closeFile()
	r.content, r.ex = nil, nil
	r.closed.Store(false)
	readers.Put(r)
}

// Done ends the reader.
func (r *reader) Done(*exchange.Exchange, int64, error) {
	r.content.detach(r)
	r.recycle()
}

// Close makes Read return. It may come from another goroutine.
func (r *reader) Close() error {
	if !r.closed.Swap(true) {
		r.content.detach(r)
	}
	return nil
}

// Read yields what is there, and waits only if that is nothing.
func (r *reader) Read(p []byte) (int, error) {
	switch {
	case r.closed.Load():
		return 0, errClosed
	case r.to == r.at:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	c := r.content
	if !c.complete.Load() {
		return r.follow(p)
	}
	if c.file != nil {
		return r.readStored(p)
	}
	n := copy(p, r.next(len(p)))
	r.at += int64(n)
	for n < len(p) && r.at < c.size && r.at != r.to {
		k := copy(p[n:], r.next(len(p)-n))
		r.at += int64(k)
		n += k
	}
	if r.at == c.size || r.at == r.to {
		r.trailers()
		return n, io.EOF
	}
	return n, nil
}

// follow is Read behind a pump that is at work.
func (r *reader) follow(p []byte) (int, error) {
	c := r.content
	c.mu.Lock()
	for r.at == c.size && c.err == nil && !r.closed.Load() {
		c.changed.Wait()
	}
	if r.closed.Load() {
		c.mu.Unlock()
		return 0, errClosed
	}
	if c.file != nil && c.complete.Load() {
		c.mu.Unlock()
		return r.readStored(p)
	}
	var n int
	if kept := c.kept; r.at < kept {
		c.mu.Unlock()
		var err error
		if n, err = r.readFile(p, kept); err != nil {
			return 0, err
		}
	} else {
		from := r.next(len(p))
		c.mu.Unlock()
		n = copy(p, from) // what is there never changes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.at += int64(n)
	if c.passing {
		c.changed.Broadcast()
	}
	switch {
	case r.at == r.to:
		return n, io.EOF
	case r.at < c.size || c.err == nil:
		return n, nil
	case c.err == io.EOF:
		r.trailers()
	}
	return n, c.err
}

// next is what is at hand of the piece that r is in, up to n bytes.
func (r *reader) next(n int) []byte {
	c := r.content
	for r.piece+1 < len(c.pieces) && c.pieces[r.piece+1].from <= r.at {
		r.piece++
	}
	if r.at >= c.size {
		return nil
	}
	p := &c.pieces[r.piece]
	b := p.data[r.at-p.from:]
	if r.to != unknown {
		b = b[:min(int64(len(b)), r.to-r.at)]
	}
	return b[:min(len(b), n)]
}

// trailers gives them to the response, whose content has ended.
func (r *reader) trailers() {
	if r.ex == nil {
		return
	}
	for name, value := range r.content.trailers.All() {
		r.ex.Response.Trailers.Add(name, value)
	}
	r.ex = nil
}

// Buffered tells how much is there.
func (r *reader) Buffered() int {
	if r.closed.Load() {
		return 0
	}
	c := r.content
	if !c.complete.Load() {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	n := c.size - r.at
	if r.to != unknown {
		n = min(n, r.to-r.at)
	}
	return int(n)
}
