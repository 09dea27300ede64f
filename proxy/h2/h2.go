// Package h2 is the HTTP/2 front (RFC 9113): it serves connections whose TLS
// handshake chose "h2", or plain ones with prior knowledge, and hands each stream
// as an exchange to a Handler.
//
// Each connection has one goroutine that reads. Handlers run on goroutines which
// are kept for the next stream. Whoever has frames to send appends them to the
// connection's buffer; one of them writes for all, after it has let the others
// run, so that streams which are ready together leave in one TLS record.
//
// WebSocket comes as extended CONNECT (RFC 8441). Priorities are ignored, server
// push does not exist. Messages that could be read in two ways by the HTTP/1.1
// origin behind us are refused.
package h2

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// Limits bounds what one client may make us hold. A zero value stands for the
// default.
type Limits struct {
	// Streams is how many requests may be open at once (MAX_CONCURRENT_STREAMS); 250.
	Streams int
	// HeadBytes bounds a header list, counted by RFC 9113 section 6.5.2, and
	// trailers; larger ones are answered with 431. 64 KiB.
	HeadBytes int
	// Fields bounds field lines, with each cookie crumb a line; more are answered
	// with 431. 256.
	Fields int
	// StreamWindow is how many bytes of a request's body are held that nobody has
	// read yet; 128 KiB. The window of an upload that is read without delay grows to
	// eight times that.
	StreamWindow int
	// ConnWindow is the same for all streams of a connection; 4 MiB.
	ConnWindow int
	// Abuse is how many frames that do nothing but work (resets of unanswered
	// requests, pings, settings, empty frames and the like) a client may send beyond
	// what its useful traffic earns; 1,000. A tenth is forgiven each second. More end
	// the connection with ENHANCE_YOUR_CALM.
	Abuse int
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d, lo, hi int) {
		if *v <= 0 {
			*v = d
		}
		*v = min(max(*v, lo), hi)
	}
	set(&l.Streams, 250, 1, 1<<20)
	set(&l.HeadBytes, 64<<10, 1<<10, 1<<24)
	set(&l.Fields, 256, 8, 1<<16)
	set(&l.StreamWindow, 128<<10, 1<<10, 1<<26)
	set(&l.ConnWindow, 4<<20, defaultWindow, 1<<30)
	set(&l.Abuse, 1000, 10, 1<<20)
	return l
}

// Timeouts says how long a client may be silent where we wait for it. A zero
// value stands for the default, a negative one for no limit. They are looked at
// once a second.
type Timeouts struct {
	Head time.Duration // preface and SETTINGS at the start, and the rest of a header block; 10 s
	Idle time.Duration // no open stream; 3 min
	// Body is the longest wait for more of a request body of known length while no
	// response has begun; 60 s. Bodies of unknown length, which may be calls that
	// are silent by nature, live as long as the client answers pings.
	Body time.Duration
	// Stall is how long a stream may wait for window, and a write for the client to
	// take it; 2 min.
	Stall time.Duration
	// Ping is the silence of a client with open streams after which it is asked for
	// a sign of life, and how long it may take to give it; 30 s.
	Ping time.Duration
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
	set(&t.Ping, 30*time.Second)
	return t
}

// Server serves HTTP/2 connections. Its fields are set before the first
// connection and stay. Its methods may be called from many goroutines.
type Server struct {
	Handler  exchange.Handler
	Limits   Limits
	Timeouts Timeouts
	// Refuse fills ex.Response for a request that is refused with a status although
	// it is well-formed, or that Handler failed to answer: status and reason say why.
	// ex.Request may be empty or incomplete. nil: a line of plain text. What is not
	// well-formed is reset, as RFC 9113 has it.
	Refuse func(ex *exchange.Exchange, status int, reason string)
	// Logger gets refused requests and ends of connections at debug level, and panics
	// of handlers and other faults of ours at error level; nil: none.
	Logger *slog.Logger

	workers workers
	clock   atomic.Int64 // nanoseconds since base, set once a second while there are connections

	base  time.Time // of the clock; set once
	conns wire.Conns[*conn]
}

// ServeConn serves HTTP/2 on nc until the connection is over and no handler
// works for it any more, and closes it. TLS handshakes are done before. info is
// what exchanges get as Conn; it must not change afterwards.
func (s *Server) ServeConn(nc net.Conn, info *exchange.Conn) {
	c := newConn(s, nc, info)
	if !s.conns.Add(c, (*sweeper)(s)) {
		_ = nc.Close()
		return
	}
	defer s.conns.Remove(c)
	c.serve()
}

// Shutdown drains: clients are told to open no more streams (GOAWAY twice, RFC
// 9113 section 6.8), streams that are open finish, then their connections are
// closed. When ctx is done first, what is left is cut off and the cause returned.
// Connections that come later are closed at once.
func (s *Server) Shutdown(ctx context.Context) error {
	empty := s.conns.Drain(func(c *conn) { c.do((*drainer)(c)) })
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	for _, c := range s.conns.All(nil) {
		c.abort()
	}
	<-empty
	return context.Cause(ctx)
}

// now is the coarse time.
func (s *Server) now() int64 { return s.clock.Load() }

const sweepEvery = time.Second

// sweeper is the server as what keeps the clock and looks after time limits.
type sweeper Server

func (s *sweeper) Begin() time.Duration {
	if s.base.IsZero() {
		s.base = time.Now().Add(-1) // 0 stands for never
	}
	s.clock.Store(int64(time.Since(s.base)))
	s.workers.open()
	return sweepEvery
}

func (s *sweeper) Added(c *conn) { c.start(s.clock.Load()) }

func (s *sweeper) Sweep(_ time.Time, conns []*conn) {
	now := int64(time.Since(s.base))
	s.clock.Store(now)
	for _, c := range conns {
		c.sweep(now)
	}
	s.workers.trim(now)
}

func (s *sweeper) End() { s.workers.close() }
