package h1

import (
	"io"

	"portway/proxy/exchange"
)

// BodyReader removes the framing of a message body. Its zero value needs Reset.
type BodyReader struct {
	kind  FramingKind
	state chunkState
	// left is content still to come: of the message if its length is fixed, of the
	// chunk at hand if it is chunked.
	left   int64
	src    io.Reader
	ready  []byte // content at hand
	raw    []byte // bytes behind ready, framing not removed yet
	space  []byte // memory behind the head, for surplus bytes
	err    error  // io.EOF at the true end; sticky
	limits Limits

	trailers *exchange.Fields
	section  []byte // the trailer section as far as it is here
	line     int    // length of the chunk-size line as far as it is here
	digits   int    // of the chunk size
	quoted   bool   // in a quoted string of a chunk extension
	escaped  bool   // behind a backslash there
}

var _ exchange.Buffered = (*BodyReader)(nil)

// Reset starts a body: rest are bytes already read behind the head, src yields
// what follows, trailers takes the trailer fields (nil: discarded), whose memory
// is their own. rest belongs to the BodyReader up to its capacity until Rest has
// been taken: content is handed out from it, and surplus bytes are kept there.
func (b *BodyReader) Reset(f Framing, rest []byte, src io.Reader, trailers *exchange.Fields, limits Limits) {
	*b = BodyReader{
		kind: f.Kind, left: f.Length, src: src, raw: rest, space: rest[:0],
		limits: limits, trailers: trailers,
	}
	switch f.Kind {
	case NoBody:
		b.err = io.EOF
	case FixedLength:
		if f.Length == 0 {
			b.err = io.EOF
		}
	case Chunked:
		b.left = 0
	}
}

// Read yields content. io.EOF comes only at the message's true end, and together
// with the last content where that is known; io.ErrUnexpectedEOF where the peer
// stopped early, a *SyntaxError where framing or trailers are wrong.
func (b *BodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if b.Buffered() > 0 {
			n := copy(p, b.ready)
			b.ready = b.ready[n:]
			return n, b.atEnd()
		}
		if b.err != nil {
			return 0, b.err
		}
		// Nothing is at hand, so the source fills p itself. Chunk framing is
		// removed where it lies.
		if b.kind == FixedLength {
			p = p[:min(int64(len(p)), b.left)]
		}
		n, err := b.src.Read(p)
		n = b.accept(p, n)
		if b.err == nil && err != nil {
			if b.err = err; err == io.EOF {
				if b.err = io.ErrUnexpectedEOF; b.kind == UntilClose {
					b.err = io.EOF
				}
			}
		}
		if n > 0 {
			return n, b.atEnd()
		}
	}
}

// atEnd is io.EOF if no content is to come; other errors wait for the next Read.
func (b *BodyReader) atEnd() error {
	if b.Done() {
		return io.EOF
	}
	return nil
}

// accept takes p[:n], just read, and returns how much of it is content now.
func (b *BodyReader) accept(p []byte, n int) int {
	switch b.kind {
	case FixedLength:
		b.spend(n)
		return n
	case Chunked:
		out, in, err := b.dechunk(p, p[:n])
		if err != nil {
			b.err = err
		}
		if b.err == io.EOF && in < n {
			b.raw = append(b.space, p[in:n]...)
		}
		return out
	}
	return n
}

// spend counts n bytes of a body of fixed length as taken over.
func (b *BodyReader) spend(n int) {
	if b.left -= int64(n); b.left == 0 {
		b.err = io.EOF
	}
}

// Buffered tells how much content the next Read yields without reading from the
// source.
func (b *BodyReader) Buffered() int {
	if len(b.ready) > 0 || len(b.raw) == 0 || b.err != nil {
		return len(b.ready)
	}
	switch b.kind {
	case FixedLength:
		n := int(min(int64(len(b.raw)), b.left))
		b.ready, b.raw = b.raw[:n:n], b.raw[n:]
		b.spend(n)
	case Chunked:
		out, in, err := b.dechunk(b.raw, b.raw)
		b.ready, b.raw = b.raw[:out:out], b.raw[in:]
		if err != nil {
			b.err = err
		}
	case UntilClose:
		b.ready, b.raw = b.raw, nil
	}
	return len(b.ready)
}

// Done tells whether the end of the message was reached and all content read.
func (b *BodyReader) Done() bool { return b.err == io.EOF && len(b.ready) == 0 }

// Rest returns bytes that were read behind the end of the message, once Done.
// They lie in the memory behind the head or in memory of their own.
func (b *BodyReader) Rest() []byte { return b.raw }
