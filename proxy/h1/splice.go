package h1

import (
	"errors"
	"io"
	"net"
	"os"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// spliceMax is how much the kernel moves at once: more saves little, and nobody
// sees progress before it is done.
const spliceMax = 256 << 10

// splice has the kernel move content as long as it comes without a pause. It
// returns io.EOF at its end, as far as that is known, and otherwise nil if Read is
// to go on.
func (s *sender) splice() error {
	source, ok := s.body.(exchange.Splicer)
	if !ok || s.tcp == nil {
		return nil
	}
	c := s.conn
	for s.left != 0 {
		limit := int64(spliceMax)
		if s.left > 0 {
			limit = min(limit, s.left)
		}
		c.send.set(writing)
		n, ok, err := source.Splice(s.tcp, limit)
		c.send.set(answering)
		s.sent += n
		if s.left > 0 {
			s.left -= n
		}
		if err != nil && err != io.EOF && c.clientGone() {
			return &writeError{err}
		}
		if !ok || err != nil || n < limit {
			return err
		}
	}
	return nil
}

// clientGone tells which side is to blame when splicing has failed.
func (c *conn) clientGone() bool {
	var w wire.Watch
	w.Reset(c.nc)
	return w.Gone()
}

// Splice moves up to limit bytes of content from src, which is the source given to
// Reset, to dst inside the kernel. ok is false, and nothing has happened, where
// content is at hand or framed. err is that of Read or of writing to dst. It stops
// early, without an error, when src's deadline for reads has passed.
func (b *BodyReader) Splice(dst, src *net.TCPConn, limit int64) (n int64, ok bool, err error) {
	if b.Buffered() > 0 || b.err != nil || b.kind != FixedLength && b.kind != UntilClose {
		return 0, false, nil
	}
	if b.kind == FixedLength {
		limit = min(limit, b.left)
	}
	n, err = dst.ReadFrom(&io.LimitedReader{R: src, N: limit})
	if b.kind == FixedLength {
		b.spend(int(n))
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, true, nil
	case err != nil:
		b.err = err
	case n < limit && b.kind == FixedLength:
		b.err = io.ErrUnexpectedEOF
	case n < limit:
		b.err = io.EOF
	}
	return n, true, b.err
}
