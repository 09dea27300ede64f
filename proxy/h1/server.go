package h1

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
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

	mu       sync.Mutex
	conns    map[*conn]struct{}
	limits   Timeouts // with defaults
	closing  bool
	sweeping bool
	empty    chan struct{} // closed when the last connection is gone after Shutdown
}

// ServeConn serves HTTP/1.1 on nc until the connection is over, and closes it.
// TLS handshakes are done before; a Cork beneath TLS is made use of. If nc is a
// syscall.Conn, its socket is read from directly: a wrapper that has read ahead must
// not be one, but tell by a method NetConn or Raw what it wraps. info is what
// exchanges get as Conn; it must not change afterwards. Call it on a goroutine
// without a past: one that did a TLS handshake has a large stack.
func (s *Server) ServeConn(nc net.Conn, info *exchange.Conn) {
	c := newConn(s, nc, info)
	if !s.register(c) {
		_ = nc.Close()
		return
	}
	defer s.unregister(c)
	c.serve()
}

// Shutdown drains: idle connections are closed, others after the exchange that
// they are in. When ctx is done first, what is left is cut off and the cause
// returned, without waiting for handlers. Connections that come later are closed
// at once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		s.empty = make(chan struct{})
		if len(s.conns) == 0 {
			close(s.empty)
		}
	}
	for c := range s.conns {
		c.drain.Store(true)
		c.endIdle()
	}
	empty := s.empty
	s.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	for _, c := range s.all(nil) {
		c.cutOff(context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// LastRequests makes the next answer on each connection its last one, and says so
// in it. Unlike Shutdown, it closes no connection that a request may be on its way
// on, and goes on to take connections.
func (s *Server) LastRequests() { s.last.Store(true) }

// register adds c and sees to it that the sweeper runs.
func (s *Server) register(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
		s.limits = s.Timeouts.withDefaults()
	}
	s.conns[c] = struct{}{}
	if !s.sweeping {
		s.sweeping = true
		every := s.every
		if every == 0 {
			every = sweepEvery
		}
		go s.sweep(every)
	}
	return true
}

func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.closing && len(s.conns) == 0 {
		close(s.empty)
	}
}

// all appends the connections to list.
func (s *Server) all(list []*conn) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// sweep looks after all connections, and ends when there are none.
func (s *Server) sweep(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var conns []*conn
	for now := range tick.C {
		conns = s.all(conns[:0])
		if len(conns) == 0 {
			s.mu.Lock()
			if len(s.conns) == 0 {
				s.sweeping = false
				s.mu.Unlock()
				return
			}
			s.mu.Unlock()
		}
		for _, c := range conns {
			c.sweep(now)
		}
		clear(conns)
	}
}

// log logs at a level if anybody listens.
func (s *Server) log(level slog.Level, msg string, args ...any) {
	if s.Logger != nil {
		s.Logger.Log(context.Background(), level, msg, args...)
	}
}
