package h2

import (
	"io"
	"sync"
)

const (
	smallRead = 1 << 10
	bigRead   = maxFrame + 512
)

var bigReads = sync.Pool{New: func() any { return new([bigRead]byte) }}

// input is what was read from the connection and not yet consumed. It waits for
// more in a small buffer of its own and borrows a big one while there is much to
// read, so that idle connections hold little.
type input struct {
	small [smallRead]byte
	big   *[bigRead]byte
	buf   []byte // small or big, as a whole
	r, w  int
	full  bool // the last read filled all there was room for
}

// bytes returns what is at hand.
func (in *input) bytes() []byte { return in.buf[in.r:in.w] }

// skip consumes n bytes.
func (in *input) skip(n int) { in.r += n }

// fill reads once from src. need is how many bytes the caller must have at hand
// to go on, at most bigRead.
func (in *input) fill(src io.Reader, need int) error {
	rest := in.bytes()
	switch {
	case in.big == nil && (need > smallRead || in.full):
		in.big = bigReads.Get().(*[bigRead]byte)
		in.buf = in.big[:]
		in.w = copy(in.buf, rest)
	case in.big != nil && len(rest) == 0 && !in.full && need <= smallRead:
		in.release()
	default:
		if in.buf == nil {
			in.buf = in.small[:]
		}
		in.w = copy(in.buf, rest)
	}
	in.r = 0
	n, err := src.Read(in.buf[in.w:])
	in.w += n
	in.full = in.w == len(in.buf)
	if n > 0 {
		return nil
	}
	return err
}

// release drops everything and gives the big buffer back.
func (in *input) release() {
	if in.big != nil {
		bigReads.Put(in.big)
		in.big = nil
	}
	in.buf = in.small[:]
	in.r, in.w, in.full = 0, 0, false
}
