package h1

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// Timeouts says how long a client may take where we wait for it. A zero value
// stands for the default, a negative one for no limit. They are kept up to a second
// late.
type Timeouts struct {
	// Head is for the whole head of a request from its first byte, and on a new
	// connection from the start; 10 s.
	Head time.Duration
	Idle time.Duration // between two requests; 3 min
	// Body is the longest silence in a request's content while no response has
	// begun, before Request.Body reads exchange.ErrClientSlow; 60 s. Afterwards there
	// is no limit, since two-way streams may be silent by nature.
	Body time.Duration
	// Stall is how long one write of at most 64 KiB (256 KiB where the kernel moves
	// content) may wait for the client to take it, and how long one direction of a tunnel may be silent when the other has
	// ended; 2 min.
	Stall time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	set := func(v *time.Duration, d time.Duration) {
		switch {
		case *v == 0:
			*v = d
		case *v < 0:
			*v = 1 << 62
		}
	}
	set(&t.Head, 10*time.Second)
	set(&t.Idle, 3*time.Minute)
	set(&t.Body, time.Minute)
	set(&t.Stall, 2*time.Minute)
	return t
}

// sweepEvery is how often time limits are looked at, and whether clients are
// still there.
const sweepEvery = 500 * time.Millisecond

// Server serves HTTP/1.1 connections. Its exported fields are set before the
// first connection and stay. Its methods may be called from many goroutines.
type Server struct {
	Handler  exchange.Handler
	Limits   Limits
	Timeouts Timeouts
	// Refuse fills ex.Response for a request that could not be understood, or that
	// Handler failed to answer: status and reason say why. ex.Request is empty if
	// already its head was wrong. nil: a line of plain text.
	Refuse func(ex *exchange.Exchange, status int, reason string)
	// Logger gets refused requests at debug level, and panics of handlers and other
	// faults of ours at error level; nil: none.
	Logger *slog.Logger

	every time.Duration // sweepEvery, less in tests
	last  atomic.Bool   // see LastRequests

	conns  wire.Conns[*conn]
	limits Timeouts // with defaults
}

// ServeConn serves HTTP/1.1 on nc until the connection is over, and closes it.
// TLS handshakes are done before; a Cork beneath TLS is made use of. If nc is a
// syscall.Conn, its socket is read from directly: a wrapper that has read ahead must
// not be one, but tell by a method NetConn or Raw what it wraps. info is what
// exchanges get as Conn; it must not change afterwards. Call it on a goroutine
// without a past: one that did a TLS handshake has a large stack.
func (s *Server) ServeConn(nc net.Conn, info *exchange.Conn) {
	c := newConn(s, nc, info)
	if !s.conns.Add(c, (*sweeper)(s)) {
		_ = nc.Close()
		return
	}
	defer s.conns.Remove(c)
	c.serve()
}

// Shutdown drains: idle connections are closed, others after the exchange that
// they are in. When ctx is done first, what is left is cut off and the cause
// returned, without waiting for handlers. Connections that come later are closed
// at once.
func (s *Server) Shutdown(ctx context.Context) error {
	empty := s.conns.Drain(func(c *conn) {
		c.drain.Store(true)
		c.endIdle()
	})
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	for _, c := range s.conns.All(nil) {
		c.cutOff(context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// LastRequests makes the next answer on each connection its last one, and says so
// in it. Unlike Shutdown, it closes no connection that a request may be on its way
// on, and goes on to take connections.
func (s *Server) LastRequests() { s.last.Store(true) }

// sweeper is the server as what looks after its connections.
type sweeper Server

func (s *sweeper) Begin() time.Duration {
	s.limits = s.Timeouts.withDefaults()
	if s.every != 0 {
		return s.every
	}
	return sweepEvery
}

func (s *sweeper) Added(*conn) {}

func (s *sweeper) Sweep(now time.Time, conns []*conn) {
	for _, c := range conns {
		c.sweep(now)
	}
}

func (s *sweeper) End() {}

// log logs at a level if anybody listens.
func (s *Server) log(level slog.Level, msg string, args ...any) {
	if s.Logger != nil {
		s.Logger.Log(context.Background(), level, msg, args...)
	}
}
