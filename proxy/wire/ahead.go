package wire

import (
	"errors"
	"net"
)

// ahead is what a Cork knows of the bytes on their way to TLS. Only the goroutine that
// reads uses it.
type ahead struct {
	buf     []byte // pooled: read from the socket, given to TLS up to at; nil: nothing
	at      int
	dry     bool // TLS gets what is in buf, and nothing else
	spent   bool // TLS holds no whole record, so that it needs more before it can give something
	records records
}

// ReadPooled reads from the TLS connection tc over c into a buffer of size Small, which
// is taken only when there is something to read: it holds n bytes. Put takes it back.
//
// Until something comes, it waits beneath TLS: there, the stack of the goroutine is so
// small that it shrinks to half of what waiting inside of crypto/tls takes.
func (c *Cork) ReadPooled(tc net.Conn) (buf []byte, n int, err error) {
	if c.raw == nil {
		if n, err = tc.Read(c.one[:]); n > 0 {
			buf = Get(Small)
			buf[0] = c.one[0]
		}
		return buf, n, err
	}
	a := &c.ahead
	for wait := a.spent; ; wait = true {
		if wait && a.buf == nil {
			if a.buf, n, err = c.Sock.ReadPooled(); err != nil {
				return nil, 0, err
			}
			a.buf, a.at = a.buf[:n], 0
		}
		buf = Get(Small)
		a.records.whole = 0
		a.dry = true
		n, err = tc.Read(buf)
		a.dry = false
		if n > 0 {
			// One record came to its end, and this is its content, for which there was room.
			a.spent = a.records.whole == 1
			return buf, n, nil
		}
		Put(buf)
		if !errors.Is(err, ErrNothing) {
			return nil, 0, err
		}
	}
}

// Read is what TLS reads with.
func (c *Cork) Read(p []byte) (n int, err error) {
	a := &c.ahead
	a.spent = false
	switch {
	case a.buf != nil:
		n = copy(p, a.buf[a.at:])
		if a.at += n; a.at == len(a.buf) {
			Put(a.buf)
			a.buf = nil
		}
	case a.dry:
		return 0, ErrNothing
	default:
		n, err = c.Sock.Read(p)
	}
	a.records.pass(p[:n])
	return n, err
}

// records follows where records of TLS end.
type records struct {
	head  [5]byte
	begun int // bytes of head
	left  int // bytes of the record behind its head
	whole int // records that have passed
}

func (r *records) pass(p []byte) {
	for len(p) > 0 {
		if r.left == 0 {
			n := copy(r.head[r.begun:], p)
			r.begun += n
			p = p[n:]
			if r.begun < len(r.head) {
				return
			}
			r.begun, r.left = 0, int(r.head[3])<<8|int(r.head[4])
		}
		n := min(r.left, len(p))
		r.left -= n
		p = p[n:]
		if r.left == 0 {
			r.whole++
		}
	}
}
