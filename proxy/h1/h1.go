// Package h1 is HTTP/1.1 on the wire (RFC 9112), both as a server and as the
// message syntax that upstream connections use: strict parsing into pooled
// memory with one interpretation of where a message ends.
package h1

import (
	"io"

	"portway/proxy/exchange"
)

// Limits bounds what a peer may send before it is refused.
type Limits struct {
	HeadBytes int // start line and fields; 0: 64 KiB
	Fields    int // field lines; 0: 128
}

// ParseResponseHead parses one response head (interim ones too) from buf into
// resp: Status, Fields, Length. It returns how many bytes the head took, 0 and a
// nil error if buf does not hold all of it yet, or a *SyntaxError. Slices in resp
// point into buf. method is the request's: it decides, with the status, whether a
// body follows and how it is framed.
func ParseResponseHead(buf []byte, method []byte, resp *exchange.Response, limits Limits) (n int, framing Framing, err error) {
	panic("not yet")
}

// Framing says how a message body ends and whether the connection survives it.
type Framing struct {
	Kind      FramingKind
	Length    int64  // for FixedLength
	KeepAlive bool   // the peer lets the connection be used again
	Upgrade   []byte // Upgrade's value when Connection names it; nil otherwise
}

// FramingKind is how a body ends.
type FramingKind uint8

// The kinds of framing.
const (
	NoBody FramingKind = iota
	FixedLength
	Chunked
	UntilClose // responses only
)

// BodyReader removes the framing of a message body.
type BodyReader struct{}

// Reset starts a body: rest are bytes already read behind the head, src yields
// what follows, trailers takes the trailer fields (nil: discarded).
func (b *BodyReader) Reset(f Framing, rest []byte, src io.Reader, trailers *exchange.Fields, limits Limits) {
	panic("not yet")
}

// Read yields content. io.EOF comes only at the message's true end;
// io.ErrUnexpectedEOF where the peer stopped early.
func (b *BodyReader) Read(p []byte) (int, error) { panic("not yet") }

// Done tells whether the end of the message was reached.
func (b *BodyReader) Done() bool { panic("not yet") }

// Rest returns bytes that were read behind the end of the message.
func (b *BodyReader) Rest() []byte { panic("not yet") }

// SyntaxError is a message that cannot be taken; Status is what a client is
// told (400, 413, 414, 431, 501, 505).
type SyntaxError struct {
	Status int
	Reason string // for logs and for people
}

func (e *SyntaxError) Error() string { return e.Reason }
