// Package wstest speaks WebSocket (RFC 6455) frame by frame, over HTTP/1.1 and
// over HTTP/2 (RFC 8441), for tests of what passes through Portway. It sends
// whatever it is told, right or wrong, and keeps a digest of every byte, so that a
// test can tell that both ends saw the same.
package wstest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// What frames are (RFC 6455 section 5.2).
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	Close        = 0x8
	Ping         = 0x9
	Pong         = 0xa
)

// Frame is one frame as it is on the wire.
type Frame struct {
	More    bool // FIN is not set
	RSV     byte // the three reserved bits, 0 to 7
	Opcode  byte
	Masked  bool
	Key     [4]byte // with Masked
	Payload []byte  // unmasked
}

// String describes f in a line.
func (f Frame) String() string {
	return fmt.Sprintf("opcode %#x, more %v, rsv %d, masked %v, %d bytes %.20q", f.Opcode, f.More, f.RSV, f.Masked, len(f.Payload), f.Payload)
}

// Equal tells whether f and g are the same on the wire.
func (f Frame) Equal(g Frame) bool {
	return f.More == g.More && f.RSV == g.RSV && f.Opcode == g.Opcode && f.Masked == g.Masked && f.Key == g.Key && bytes.Equal(f.Payload, g.Payload)
}

// Append adds f's wire form to b.
func (f Frame) Append(b []byte) []byte {
	first, second := f.RSV<<4|f.Opcode, byte(0)
	if !f.More {
		first |= 0x80
	}
	if f.Masked {
		second = 0x80
	}
	switch n := len(f.Payload); {
	case n < 126:
		b = append(b, first, second|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, first, second|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, first, second|127), uint64(n))
	}
	if !f.Masked {
		return append(b, f.Payload...)
	}
	b = append(b, f.Key[:]...)
	at := len(b)
	b = append(b, f.Payload...)
	mask(b[at:], f.Key)
	return b
}

// Read reads one frame. io.EOF says that the stream ended before it.
func Read(r io.Reader) (f Frame, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return f, err
	}
	f.More, f.RSV, f.Opcode, f.Masked = head[0]&0x80 == 0, head[0]>>4&7, head[0]&0xf, head[1]&0x80 != 0
	n := uint64(head[1] & 0x7f)
	switch n {
	case 126:
		_, err = io.ReadFull(r, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		_, err = io.ReadFull(r, head[:8])
		n = binary.BigEndian.Uint64(head[:8])
	}
	if err == nil && f.Masked {
		_, err = io.ReadFull(r, f.Key[:])
	}
	if n > 1<<26 {
		return f, fmt.Errorf("a frame of %d bytes: the stream is garbled", n)
	}
	if err == nil {
		f.Payload = make([]byte, n)
		_, err = io.ReadFull(r, f.Payload)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if f.Masked {
		mask(f.Payload, f.Key)
	}
	return f, err
}

func mask(b []byte, key [4]byte) {
	for i := range b {
		b[i] ^= key[i&3]
	}
}

// CloseFrame is a close frame with a code (0: none) and a reason.
func CloseFrame(code uint16, reason string) Frame {
	f := Frame{Opcode: Close}
	if code != 0 {
		f.Payload = append(binary.BigEndian.AppendUint16(nil, code), reason...)
	}
	return f
}
