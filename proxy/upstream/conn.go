package upstream

import (
	"net"
	"syscall"

	"portway/proxy/exchange"
)

// conn is one HTTP/1.1 connection. An exchange owns it from Pool.get until it is
// put back or killed; while idle, it owns no buffers.
type conn struct {
	watch
	pool *Pool
	nc   net.Conn // what is spoken on: the socket, or TLS over it
	sock net.Conn // the socket, whose Close never blocks
	dry  *drySock // between the two; nil without TLS

	// For stale, made once so that looking allocates nothing.
	raw    syscall.RawConn // nil if the socket cannot be looked into
	look   func(fd uintptr) bool
	silent bool // look's answer: open, and nothing to read
	one    [1]byte

	// full says that the last read filled all it was given, so that more may wait.
	full bool

	epoch uint32 // the pool's when it came to rest; 0: never used

	// Guarded by pool.mu.
	index int   // in pool.conns
	cause error // why it was closed, nil while it is open
}

var _ exchange.Aborter = (*conn)(nil)

func newConn(p *Pool, d dialed) *conn {
	c := &conn{pool: p, nc: d.nc, sock: d.sock, dry: d.dry}
	if sc, ok := d.sock.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw, c.look = raw, c.lookInto
		}
	}
	return c
}

func (c *conn) lookInto(fd uintptr) bool {
	_, err := peek(fd, &c.one)
	c.silent = err == syscall.EAGAIN
	return true
}

// stale tells whether an unused connection was closed by the origin, or holds
// bytes that nobody asked for and that would be taken for the next answer.
func (c *conn) stale() bool {
	if c.raw == nil {
		return false
	}
	c.silent = false
	if err := c.raw.Read(c.look); err != nil {
		return true
	}
	return !c.silent
}

// leftover tells whether TLS holds bytes behind the end of the last message,
// which a look into the socket cannot see.
func (c *conn) leftover() bool {
	if c.dry == nil {
		return false
	}
	c.dry.off = true
	n, err := c.nc.Read(c.one[:])
	c.dry.off = false
	return n > 0 || err != errDry
}

// Read is the source of message bodies.
func (c *conn) Read(p []byte) (int, error) {
	c.recv.set(awaitBody)
	n, err := c.nc.Read(p)
	c.recv.set(ours)
	c.full = n == len(p)
	return n, err
}

// Abort closes the connection under whoever uses it.
func (c *conn) Abort(cause error) { c.pool.kill(c, givenUp(cause)) }

// drySock is the socket under TLS. While off, it has nothing to read, so that TLS
// gives what it holds already.
type drySock struct {
	net.Conn
	off bool // only the reading goroutine looks at it
}

func (s *drySock) Read(p []byte) (int, error) {
	if s.off {
		return 0, errDry
	}
	return s.Conn.Read(p)
}

// errDry is temporary, or crypto/tls would take the connection for broken.
var errDry net.Error = dryError{}

type dryError struct{}

func (dryError) Error() string   { return "nothing at hand" }
func (dryError) Timeout() bool   { return true }
func (dryError) Temporary() bool { return true }
