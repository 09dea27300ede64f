package upstream

import (
	"errors"
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
	used bool     // it has served an exchange

	// Looking into the socket; the functions are made once, so that their use
	// allocates nothing. raw is nil if the socket cannot be looked into.
	raw           syscall.RawConn
	lookFn, askFn func(fd uintptr) bool
	silent        bool // open, and nothing to read
	one           [1]byte
	asked         asked

	// Guarded by pool.mu.
	index int   // in pool.conns
	cause error // why it was closed, nil while it is open
}

// asked is what ask hands to and fro.
type asked struct {
	request []byte
	wait    bool
	written bool
	n       int
	err     error
}

var _ exchange.Aborter = (*conn)(nil)

func newConn(p *Pool, d dialed) *conn {
	c := &conn{pool: p, nc: d.nc, sock: d.sock, dry: d.dry}
	if sc, ok := d.sock.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw, c.lookFn, c.askFn = raw, c.look, c.write
		}
	}
	return c
}

// ask sends a request, or its head. Before that it looks whether the origin closed
// the connection while it was unused, or sent bytes that would be taken for the
// answer: errStale, and nothing was sent. With wait, it returns when there is
// something to read.
//
// All of that is one visit to the socket. The look costs a system call, and
// another one is saved: reading right behind the write would find nothing yet.
func (c *conn) ask(request []byte, wait bool) (n int, err error) {
	if c.raw == nil {
		return c.nc.Write(request)
	}
	c.asked = asked{request: request, wait: wait}
	err = c.raw.Read(c.askFn)
	if c.asked.err != nil {
		err = c.asked.err
	}
	c.asked.request = nil
	return c.asked.n, err
}

// write is called by the poller after it has forgotten earlier events, so none is
// missed that comes behind the look. False waits for the next.
func (c *conn) write(fd uintptr) bool {
	a := &c.asked
	if a.written {
		return true
	}
	if c.used && !silent(fd, &c.one) {
		a.err = errStale
		return true
	}
	a.n, a.err = c.nc.Write(a.request)
	a.written = true
	return a.err != nil || !a.wait
}

// stale tells whether an unused connection was closed by the origin, or holds
// bytes that nobody asked for.
func (c *conn) stale() bool {
	if c.raw == nil {
		return false
	}
	c.silent = false
	if err := c.raw.Read(c.lookFn); err != nil {
		return true
	}
	return !c.silent
}

func (c *conn) look(fd uintptr) bool {
	c.silent = silent(fd, &c.one)
	return true
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
	return n > 0 || !errors.Is(err, errDry)
}

// Read is the source of message bodies.
func (c *conn) Read(p []byte) (int, error) {
	c.recv.set(awaitBody)
	n, err := c.nc.Read(p)
	c.recv.set(ours)
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
