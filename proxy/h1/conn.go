package h1

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// conn is one client's connection. Its goroutine reads requests, runs the handler
// and writes responses; a handler may have another one read the request's body
// meanwhile. While idle, it has no buffers.
type conn struct {
	srv   *Server
	nc    net.Conn   // what is spoken on
	sock  net.Conn   // the socket beneath it, whose Close never waits
	cork  *wire.Cork // nil without TLS
	watch wire.Watch // the sweeper's
	info  *exchange.Conn
	old   *exchange.Conn // info for HTTP/1.0, made at need

	recv, send progress
	drain      atomic.Bool // no further request
	cut        atomic.Bool // given up from outside in the middle of an exchange

	// in holds what was read and is not parsed: filled bytes from its start. nil
	// while there is nothing.
	in     []byte
	filled int
	one    [1]byte
	plain  *wire.Sock // nil with TLS

	body requestBody
	sent int // bytes written, up to boosted

	mu     sync.Mutex
	ex     *exchange.Exchange // who is told when the client goes away; nil outside of an exchange
	origin exchange.Tunnel    // the other end of a tunnel; nil if there is none

	// sending is held for what is written before the response.
	sending    sync.Mutex
	responding bool // the response is being written, by the connection's goroutine
	http10     bool
}

var _ exchange.Front = (*conn)(nil)

func newConn(s *Server, nc net.Conn, info *exchange.Conn) *conn {
	c := &conn{srv: s, nc: nc, sock: wire.Socket(nc), cork: wire.CorkOf(nc), info: info}
	if _, secure := nc.(*tls.Conn); !secure {
		c.plain = wire.NewSock(nc)
		c.nc = c.plain
	}
	c.body.conn = c
	c.watch.Reset(nc)
	return c
}

// serve does one exchange after the other.
func (c *conn) serve() {
	defer c.releaseIn()
	for c.await() {
		switch c.exchange() {
		case again:
		case lingerAndClose:
			c.linger()
			return
		case closed:
			_ = c.sock.Close()
			return
		case closeNow:
			_ = c.nc.Close()
			return
		}
	}
	_ = c.nc.Close()
}

// outcome is what becomes of a connection behind an exchange.
type outcome int

const (
	again          outcome = iota
	closeNow               // orderly
	lingerAndClose         // orderly, but the client may still be sending
	closed                 // broken off
)

// await waits for the first bytes of the next request, and makes c.in hold them.
func (c *conn) await() bool {
	if c.filled > 0 {
		return c.recv.change(head)
	}
	c.releaseIn()
	if c.recv.phase() != fresh && !c.recv.change(idle) || c.drain.Load() {
		return false
	}
	var err error // there is nobody to tell it
	switch {
	case c.plain != nil:
		c.in, c.filled, err = c.plain.ReadPooled()
	case c.cork != nil:
		c.in, c.filled, err = c.cork.ReadPooled(c.nc)
	default:
		// TLS has a buffer of its own, and the rest of the request is in it then.
		if _, err = io.ReadFull(c.nc, c.one[:]); err == nil {
			c.in = wire.Get(wire.Small)
			c.in[0], c.filled = c.one[0], 1
		}
	}
	return err == nil && c.recv.change(head)
}

func (c *conn) releaseIn() {
	wire.Put(c.in)
	c.in, c.filled = nil, 0
}

// readHead reads a request's head into req; n is its length in c.in.
func (c *conn) readHead(req *exchange.Request) (n int, rh RequestHead, err error) {
	for from := 0; ; {
		n, from, rh, err = parseRequestHead(c.in[:c.filled], from, req, c.srv.Limits)
		if n > 0 || err != nil {
			return n, rh, err
		}
		if c.filled == len(c.in) {
			c.growIn(2 * len(c.in))
		}
		k, err := c.nc.Read(c.in[c.filled:])
		if c.filled += k; k == 0 && err != nil {
			if c.recv.phase() == expired {
				err = slowHead
			}
			return 0, rh, err
		}
	}
}

// growIn makes room for at least n bytes.
func (c *conn) growIn(n int) {
	in := wire.Get(n)
	copy(in, c.in[:c.filled])
	wire.Put(c.in)
	c.in = in
}

// keepRest makes bytes behind the end of a request the begin of the next one. They
// may lie in c.in.
func (c *conn) keepRest(rest []byte) {
	if len(rest) > len(c.in) {
		in := wire.Get(len(rest))
		copy(in, rest)
		wire.Put(c.in)
		c.in = in
	} else {
		copy(c.in, rest)
	}
	c.filled = len(rest)
}

// boosted is after how many bytes crypto/tls fills its records, 16 KiB each.
// Before that, small ones let a slow client begin to work.
const boosted = 128 << 10

// write writes with one system call, also if TLS makes several records of it.
func (c *conn) write(b []byte) error {
	c.send.set(writing)
	defer c.send.set(answering)
	if c.cork == nil || len(b) <= wire.Small && c.sent >= boosted {
		_, err := c.nc.Write(b)
		return err
	}
	c.sent = min(c.sent+len(b), boosted)
	c.cork.Hold()
	_, err := c.nc.Write(b)
	if e := c.cork.Release(); err == nil {
		err = e
	}
	return err
}

// Inform sends an interim response.
func (c *conn) Inform(_ *exchange.Exchange, status int, fields *exchange.Fields) {
	if status < 102 || status > 199 {
		return
	}
	buf := wire.Get(wire.Small)
	defer wire.Put(buf)
	c.sendEarly(appendResponseHead(buf[:0], status, fields, responseEnd{Length: -1}))
}

var continueLine = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// sendEarly writes what comes before the response, unless that has begun. Errors
// show again when the response is written.
func (c *conn) sendEarly(b []byte) bool {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.responding || c.http10 {
		return false
	}
	c.send.set(writing)
	_, _ = c.nc.Write(b)
	c.send.set(quiet)
	return true
}

// connFor gives what exchanges see of the connection.
func (c *conn) connFor(http10 bool) *exchange.Conn {
	if !http10 {
		return c.info
	}
	if c.old == nil {
		old := *c.info
		old.Protocol = exchange.HTTP10
		c.old = &old
	}
	return c.old
}

// begin names the exchange that is told when the client goes away.
func (c *conn) begin(ex *exchange.Exchange, http10 bool) {
	c.sending.Lock()
	c.responding, c.http10 = false, http10
	c.send.set(quiet)
	c.sending.Unlock()
	c.mu.Lock()
	c.ex = ex
	c.mu.Unlock()
}

// beginResponse ends the time for interim responses.
func (c *conn) beginResponse() {
	c.sending.Lock()
	c.responding = true
	c.sending.Unlock()
}

// end is begin's counterpart: the exchange is not cancelled any more.
func (c *conn) end() {
	c.mu.Lock()
	c.ex, c.origin = nil, nil
	c.mu.Unlock()
}

// past is a deadline that ends reads at once.
var past = time.Unix(1, 0)

// wakeReader ends a read that waits, and further ones, but breaks nothing.
func (c *conn) wakeReader() { _ = c.nc.SetReadDeadline(past) }

// drainTime is how long content that nobody wants is waited for, so that the
// client gets to read its answer before the connection is closed.
const drainTime = 3 * time.Second

// sweep ends what takes too long, and looks whether a client that waits is there.
func (c *conn) sweep(now time.Time) {
	limits := &c.srv.limits
	send, sendStill := c.send.sweep(now)
	recv, recvStill := c.recv.sweep(now)
	switch {
	case (recv == fresh || recv == head) && recvStill >= limits.Head,
		recv == idle && recvStill >= limits.Idle,
		recv == receiving && send == quiet && recvStill >= limits.Body:
		if c.recv.expire(c.recv.seen) {
			c.wakeReader()
		}
	case send == writing && sendStill >= limits.Stall,
		(recv == done || send == done) && min(recvStill, sendStill) >= limits.Stall:
		c.cutOff(exchange.ErrClientSlow)
	case (recv == draining || recv == lingering) && recvStill >= drainTime:
		_ = c.sock.Close()
	case (recv == waiting || recv == paused) && send != writing && c.mayBeGone() && c.watch.Gone():
		c.cutOff(exchange.ErrClientGone)
	}
}

// mayBeGone spares those who have waited for long most of the looks.
func (c *conn) mayBeGone() bool {
	n := min(c.recv.sweeps, c.send.sweeps)
	return n > 0 && (n < 16 || n%8 == 0)
}

// endIdle closes an idle connection, unless a request has just begun.
func (c *conn) endIdle() {
	word := c.recv.word.Load()
	if ph := phaseOf(word); (ph == idle || ph == fresh) && c.recv.expire(word) {
		c.wakeReader()
	}
}

// cancel tells whoever works on the exchange to stop.
func (c *conn) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ex != nil {
		c.ex.Cancel(cause)
	}
	if c.origin != nil {
		_ = c.origin.Close()
	}
}

// cutOff cancels the exchange and closes the socket under it.
func (c *conn) cutOff(cause error) {
	c.cut.Store(true)
	c.cancel(cause)
	_ = c.sock.Close()
}

// closeWrite ends our direction: with TLS by an alert, then by the end of the
// stream.
func (c *conn) closeWrite() error {
	if tc, ok := c.nc.(*tls.Conn); ok {
		if err := tc.CloseWrite(); err != nil {
			return err
		}
	}
	if half, ok := c.sock.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// linger closes the connection such that the client can read our last words: a
// socket that is closed with something unread in it is reset.
func (c *conn) linger() {
	c.recv.set(lingering)
	c.send.set(quiet)
	_ = c.nc.SetReadDeadline(time.Time{})
	if c.closeWrite() == nil {
		if c.in == nil {
			c.in = wire.Get(wire.Small)
		}
		for {
			if _, err := c.sock.Read(c.in); err != nil {
				break
			}
		}
	}
	_ = c.sock.Close()
}
