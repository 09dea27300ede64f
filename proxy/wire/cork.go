package wire

import (
	"crypto/tls"
	"net"
	"sync"
)

// corkSize holds the records of Large bytes, each some 22 bytes longer than its
// content.
const corkSize = 72 << 10

var corks = sync.Pool{New: func() any { return new([corkSize]byte) }}

// Cork is a connection that goes beneath a tls.Conn. crypto/tls makes one system
// call for each record; while a Cork is held, records are collected, and Release
// sends them with one. It has memory only while held.
type Cork struct {
	*Sock
	ahead ahead

	mu   sync.Mutex // crypto/tls also writes when it reads, for example key updates
	held bool
	buf  *[corkSize]byte
	n    int
	err  error // of a write that was needed while held
}

// NewCork puts a Cork over nc.
func NewCork(nc net.Conn) *Cork { return &Cork{Sock: NewSock(nc)} }

// CorkOf returns the Cork right beneath the tls.Conn nc, nil if there is none. The
// methods Hold and Release do nothing on nil.
func CorkOf(nc net.Conn) *Cork {
	tc, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	c, _ := tc.NetConn().(*Cork)
	return c
}

// Hold begins to collect. It is followed by Release.
func (c *Cork) Hold() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

// Release sends what was collected and stops collecting. The error is that of the
// first write that failed since Hold.
func (c *Cork) Release() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	c.flush()
	if c.buf != nil {
		corks.Put(c.buf)
		c.buf = nil
	}
	err := c.err
	c.err = nil
	return err
}

// Write collects p while held, or else writes it.
func (c *Cork) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.held {
		return c.Sock.Write(p)
	}
	if c.n+len(p) > corkSize {
		c.flush()
	}
	if c.err != nil {
		return 0, c.err
	}
	if len(p) > corkSize {
		return c.Sock.Write(p)
	}
	if c.buf == nil {
		c.buf = corks.Get().(*[corkSize]byte)
	}
	c.n += copy(c.buf[c.n:], p)
	return len(p), nil
}

// flush writes what was collected; called with mu locked.
func (c *Cork) flush() {
	if c.n > 0 && c.err == nil {
		_, c.err = c.Sock.Write(c.buf[:c.n])
	}
	c.n = 0
}
