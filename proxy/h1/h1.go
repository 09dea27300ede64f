// Package h1 is HTTP/1.1 on the wire (RFC 9112), both as a server and as the
// message syntax that upstream connections use: strict parsing into pooled
// memory with one interpretation of where a message ends.
//
// What two recipients could read in two ways is refused, never repaired: both
// Transfer-Encoding and Content-Length, several Content-Length, codings other
// than exactly "chunked", white space around names, folded lines, bare CR or LF,
// control characters, a Host that is missing, doubled or not a host, a target
// that disagrees with Host.
package h1

import (
	"fmt"
	"strconv"
)

// Limits bounds what a peer may send before it is refused.
type Limits struct {
	HeadBytes int // start line and fields, and trailer section alike; 0: 64 KiB
	Fields    int // field lines; 0: 128
}

const (
	defaultHeadBytes = 64 << 10
	defaultFields    = 128
)

func (l Limits) headBytes() int {
	if l.HeadBytes <= 0 {
		return defaultHeadBytes
	}
	return l.HeadBytes
}

func (l Limits) fields() int {
	if l.Fields <= 0 {
		return defaultFields
	}
	return l.Fields
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

// SyntaxError is a message that cannot be taken; Status is what a client is
// told (400, 413, 414, 417, 431, 501, 505). After one, nothing more can be read
// from the connection.
type SyntaxError struct {
	Status int
	Reason string // for logs and for people
}

func (e *SyntaxError) Error() string { return e.Reason }

// bad makes the usual SyntaxError.
func bad(format string, args ...any) *SyntaxError {
	return &SyntaxError{Status: 400, Reason: fmt.Sprintf(format, args...)}
}

// char names a byte in a Reason.
func char(c byte) string {
	if c < 0x80 {
		return strconv.QuoteRune(rune(c))
	}
	return fmt.Sprintf("0x%X", c)
}
