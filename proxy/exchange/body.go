package exchange

import "io"

// BytesBody is a body of bytes that are at hand; b is not copied.
func BytesBody(b []byte) Body { return &bytesBody{rest: b} }

type bytesBody struct{ rest []byte }

var (
	_ Body     = (*bytesBody)(nil)
	_ Buffered = (*bytesBody)(nil)
)

func (b *bytesBody) Read(p []byte) (int, error) {
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (b *bytesBody) Buffered() int { return len(b.rest) }

// Close does nothing: no Read ever blocks, and the front reads alone.
func (b *bytesBody) Close() error { return nil }
