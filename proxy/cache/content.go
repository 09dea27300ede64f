package cache

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"portway/proxy/cache/disk"
	"portway/proxy/exchange"
)

// content is what a stored response consists of. It can be read from the moment that
// its first byte is there, by any number of readers, each at its own pace, while pump
// writes on. Once it is complete nothing of it changes any more, and it is read
// without a lock.
//
// Content that turns out to be too large is not kept: from then on, what all readers
// have read is let go, and pump is no more than window ahead of the slowest of them.
type content struct {
	complete atomic.Bool

	mu       sync.Mutex
	changed  sync.Cond // signalled when anything below changes
	pieces   []piece
	size     int64
	err      error           // why nothing follows: io.EOF, or what went wrong
	trailers exchange.Fields // valid at the end
	passing  bool            // not to be kept
	readers  []*reader       // those that need what is not complete

	file   *disk.File // what is too large for memory; nil: nothing
	onDisk int64      // how much of it is there
	kept   int64      // where that begins of which there are pieces, too
}

// piece is a part of a content.
type piece struct {
	from int64
	data []byte // nil if it was let go
}

// Pieces begin small, since most contents are, and grow. A content of known length is
// one piece, if it is not too large for that.
const (
	firstPiece   = 4 << 10
	largestPiece = 256 << 10
	window       = 256 << 10
)

var (
	errAbandoned = errors.New("nobody reads the response any more")
	errClosed    = errors.New("read after the body was closed")
)

func newContent() *content {
	c := &content{}
	c.changed.L = &c.mu
	return c
}

// completeContent makes one of bytes that are at hand.
func completeContent(b []byte) *content {
	c := newContent()
	c.give(b)
	c.complete.Store(true)
	return c
}

// give makes c consist of b.
func (c *content) give(b []byte) {
	if c.size = int64(len(b)); c.size > 0 {
		c.pieces = []piece{{data: b}}
	}
}

// budget says what a content on its way may take.
type budget interface {
	// memory takes n bytes of it for a content that has size so far; false: it is not to be
	// kept any longer.
	memory(n int, size int64) bool
	// file gives a file for a large content; nil: none is to be had.
	file() *disk.File
	// wanted tells whether a content in a file is to be kept although it has size already.
	wanted(size int64) bool
}

// pump reads src to its end, and takes what b allows; once it says no, the content is
// only passed on. length is that of src, if it is known.
func (c *content) pump(src exchange.Body, length int64, trailers *exchange.Fields, b budget) error {
	var free []byte // room at the end of the last piece
	for empty := 0; ; {
		if len(free) == 0 {
			var err error
			if free, err = c.room(length, b); err != nil {
				return c.broke(err)
			}
		}
		n, err := src.Read(free)
		if n > 0 {
			empty = 0
			c.grow(n)
			free = free[n:]
		}
		switch {
		case err == io.EOF && length >= 0 && c.size != length:
			return c.broke(io.ErrUnexpectedEOF)
		case err == io.EOF:
			c.end(trailers)
			return nil
		case err != nil:
			return c.broke(err)
		case n == 0:
			if empty++; empty == 100 {
				return c.broke(io.ErrNoProgress)
			}
		}
		if length >= 0 && c.size == length {
			// The end must be seen, so that the origin's connection can be used again.
			var one [1]byte
			n, err := src.Read(one[:])
			switch {
			case n > 0:
				return c.broke(errors.New("the response has more content than its length says"))
			case err != nil && err != io.EOF:
				return c.broke(err)
			}
			c.end(trailers)
			return nil
		}
	}
}

// room adds a piece and gives it, empty. If the content is not kept, it waits until
// readers have caught up.
func (c *content) room(length int64, b budget) ([]byte, error) {
	if c.file == nil && !c.passing && (length > disk.Small || c.size == disk.Small) {
		if f := b.file(); f != nil {
			c.spill(f)
		}
	}
	stop := c.file != nil && (c.flush() != nil || !b.wanted(c.size))
	size := firstPiece
	switch left := length - c.size; {
	case c.file != nil && length >= 0:
		size = int(min(max(left, 1), largestPiece))
	case length >= 0 && left <= 4*largestPiece:
		size = int(max(left, 1))
	case length >= 0 || c.size >= largestPiece:
		size = largestPiece
	case c.size > firstPiece:
		size = int(c.size)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.passing && (stop || c.file == nil && !b.memory(size, c.size)) {
		c.passing = true
	}
	if c.passing {
		size = min(size, window/4)
		for {
			slowest, ok := c.slowest()
			if !ok {
				return nil, errAbandoned
			}
			c.release(slowest)
			if c.size-slowest < window {
				break
			}
			c.changed.Wait()
		}
	}
	data := make([]byte, size)
	c.pieces = append(c.pieces, piece{c.size, data[:0]})
	return data, nil
}

// slowest is how far the reader has come that has most before it; ok is false if
// there is none.
func (c *content) slowest() (at int64, ok bool) {
	for i, r := range c.readers {
		if i == 0 || r.at < at {
			at = r.at
		}
	}
	return at, len(c.readers) > 0
}

// release lets pieces go that end before at.
func (c *content) release(at int64) {
	for i := range len(c.pieces) - 1 {
		if c.pieces[i+1].from > at {
			return
		}
		c.pieces[i].data = nil
	}
}

// grow makes n more bytes of the last piece readable.
func (c *content) grow(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := &c.pieces[len(c.pieces)-1]
	last.data = last.data[:len(last.data)+n]
	c.size += int64(n)
	c.changed.Broadcast()
}

// end notes that the content is all there.
func (c *content) end(trailers *exchange.Fields) {
	stop := c.file != nil && !c.passing && c.flush() != nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trailers = cloneFields(trailers, nil)
	c.err = io.EOF
	c.passing = c.passing || stop
	if c.file != nil && !c.passing {
		c.file.Complete()
		c.pieces = nil
	}
	if !c.passing {
		if n := len(c.pieces); n > 0 {
			if last := &c.pieces[n-1]; cap(last.data)-len(last.data) > cap(last.data)/8 {
				last.data = append(make([]byte, 0, len(last.data)), last.data...)
			}
		}
		c.readers = nil
		c.complete.Store(true)
	}
	c.changed.Broadcast()
}

func (c *content) broke(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	c.changed.Broadcast()
	return err
}

// memory is how much the content takes.
func (c *content) memory() int64 {
	n := int64(0)
	for _, p := range c.pieces {
		n += int64(cap(p.data))
	}
	if c.file != nil {
		n += c.file.Memory()
	}
	return n
}

// attach lets r read from its place on; false if that is not there any more, or never
// will be. pinned says that another reader holds what there is: then it is there even
// if the content is not to be kept.
func (c *content) attach(r *reader, pinned bool) bool {
	if c.complete.Load() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.complete.Load():
		return true
	case c.err != nil && c.size == 0, !pinned && (c.passing || c.err != nil):
		return false
	}
	if r.open() != nil {
		return false
	}
	c.readers = append(c.readers, r)
	return true
}

// detach ends what attach began.
func (c *content) detach(r *reader) {
	if c.complete.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.readers, r); i >= 0 {
		c.readers = slices.Delete(c.readers, i, i+1)
	}
	c.changed.Broadcast() // for r, which may wait, and for pump
}
