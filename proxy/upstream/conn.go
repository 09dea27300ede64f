package upstream

import (
	"errors"
	"io"
	"net"
	"syscall"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// conn is one HTTP/1.1 connection. An exchange owns it from Pool.get until it is
// put back or killed; while idle, it owns no buffers.
type conn struct {
	watch
	pool *Pool
	nc   net.Conn // what is spoken on: a wire.Sock over the socket, or TLS over that
	sock net.Conn // the socket, whose Close never blocks
	dry  *drySock // beneath TLS; nil without
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

	// What was read of the answer, where it was.
	into    []byte
	read    bool
	got     int
	readErr error
}

var _ exchange.Aborter = (*conn)(nil)

func newConn(p *Pool, d dialed) *conn {
	c := &conn{pool: p, nc: d.nc, sock: d.sock, dry: d.dry}
	if sc, ok := d.sock.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw, c.lookFn, c.askFn = raw, c.look, c.visit
		}
	}
	return c
}

// ask sends a request, or its head. Before that it looks whether the origin closed
// the connection while it was unused, or sent bytes that would be taken for the
// answer: errStale, and nothing was sent. With wait, it returns when there is
// something to read, and without TLS has read it into the memory of the request.
//
// All of that is one visit to the socket. The look costs a system call, and
// another one is saved: reading right behind the write would find nothing yet.
func (c *conn) ask(request []byte, wait bool) (n int, err error) {
	if c.raw == nil {
		return c.nc.Write(request)
	}
	c.asked = asked{request: request, wait: wait, into: request[:cap(request)]}
	err = c.raw.Read(c.askFn)
	if c.asked.err != nil {
		err = c.asked.err
	}
	c.asked.request, c.asked.into = nil, nil
	return c.asked.n, err
}

// visit is called by the poller after it has forgotten earlier events, so none is
// missed that comes behind the look. False waits for the next.
func (c *conn) visit(fd uintptr) bool {
	a := &c.asked
	if a.written {
		if c.dry != nil {
			return true
		}
		a.got, a.readErr = wire.TryRead(fd, a.into)
		if a.readErr == syscall.EAGAIN {
			return false
		}
		if a.got == 0 && a.readErr == nil {
			a.readErr = io.EOF
		}
		a.read = true
		return true
	}
	if c.used && !silent(fd, &c.one) {
		a.err = errStale
		return true
	}
	a.n, a.err = c.writeNow(fd, a.request)
	a.written = true
	return a.err != nil || !a.wait
}

// writeNow writes all of p; fd is the socket.
func (c *conn) writeNow(fd uintptr, p []byte) (n int, err error) {
	if c.dry == nil {
		if n, err = wire.TryWrite(fd, p); n == len(p) || err != nil && err != syscall.EAGAIN {
			return n, err
		}
	}
	m, err := c.nc.Write(p[n:])
	return n + m, err
}

// answer reads what comes of the answer, or gives what ask has read of it; p begins
// then where the request did.
func (c *conn) answer(p []byte) (int, error) {
	if a := &c.asked; a.read {
		a.read = false
		return a.got, a.readErr
	}
	return c.nc.Read(p)
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
