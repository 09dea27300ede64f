// Package upstream speaks to origins: it takes an exchange, sends its request to
// one replica over a pooled connection, and fills in the response.
//
// HTTP/1.1 is done by hand, since it is the hot path: the calling goroutine
// writes the request and reads the answer itself, no goroutine belongs to a
// connection, and an exchange allocates nothing once connections and memory are
// warm. HTTP/2 (h2c, and https by ALPN) is golang.org/x/net's client behind the
// same interface.
//
// Time limits are kept by Sweep, which the owner of the pools calls now and then,
// instead of by a timer or a deadline per read: a connection notes its progress
// in an atomic word, and the sweeper closes those that made none for too long.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
)

// Config is how to reach one replica.
type Config struct {
	Network string // "tcp" or "unix"
	Address string
	Scheme  string // "http", "https", "h2c"
	// TLS is for https; nil: verify by the system's roots. A ServerName that is
	// empty comes from Address. NextProtos is chosen by the pool.
	TLS *tls.Config
	// Dial opens the connection beneath everything else; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	MaxIdle     int           // idle HTTP/1.1 connections kept; 0: 64
	MaxConns    int           // open connections; 0: no limit. Further requests wait for at most DialTimeout
	DialTimeout time.Duration // for connecting, TLS included; 0: 5 s
	FirstByte   time.Duration // from the request sent to the response's head; 0: 60 s; negative: no limit
	Idle        time.Duration // silence in the middle of a body; 0: 60 s; negative: no limit
	IdleConn    time.Duration // an unused connection is closed after; 0: 60 s
}

// ErrDial wraps errors from connecting, TLS included: nothing was sent, so that
// another replica can be tried whatever the request.
var ErrDial = errors.New("cannot connect")

// ErrNotProcessed wraps errors after which the same exchange may be sent again,
// to this replica or another: the origin cannot have begun to work on the request
// (nothing of it was sent; HTTP/2's REFUSED_STREAM or GOAWAY), or it closed the
// connection before any byte of an answer to a request without a body whose
// method is safe (RFC 9110 section 9.2.1). Trying the same replica once more after
// a stale connection is done here already.
var ErrNotProcessed = errors.New("not processed by the origin")

// ErrBusy comes together with ErrNotProcessed when MaxConns connections were in
// use for as long as DialTimeout.
var ErrBusy = errors.New("all connections in use")

// ErrTimeout wraps errors where the origin was too slow to answer, or to take the
// request.
var ErrTimeout = errors.New("origin too slow")

// ErrProtocol wraps errors where the origin answered what is not HTTP.
var ErrProtocol = errors.New("origin broke the protocol")

// ErrInvalid wraps errors where the request cannot be sent as it stands, because
// it would not be one well-formed message: a fault of ours or of a middleware.
// Nothing was sent.
var ErrInvalid = errors.New("request cannot be sent")

// Pool holds the connections to one replica. Its methods may be called from many
// goroutines.
type Pool struct {
	cfg  Config
	name string // of the origin, in errors
	// tls1 and tls2 are cfg.TLS for HTTP/1.1 only and for a choice by ALPN.
	tls1, tls2 *tls.Config
	h2         *transport2  // nil for http
	alpn       atomic.Int32 // what an https origin chose last

	mu      sync.Mutex
	closed  bool
	conns   []*conn
	idle    []*conn // last used last
	dialing int     // connections being opened
	waiters []*waiter

	conns2   []*conn2
	streams2 []*stream2
	dialing2 *dial2 // the one dial for HTTP/2 under way
}

// NewPool makes a pool; it connects at first need. Somebody must call Sweep.
func NewPool(cfg Config) *Pool {
	or := func(v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		}
	}
	or(&cfg.DialTimeout, 5*time.Second)
	or(&cfg.FirstByte, 60*time.Second)
	or(&cfg.Idle, 60*time.Second)
	or(&cfg.IdleConn, 60*time.Second)
	if cfg.MaxIdle == 0 {
		cfg.MaxIdle = 64
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	p := &Pool{cfg: cfg, name: cfg.Address}
	if cfg.Scheme == "https" {
		p.tls1, p.tls2 = tlsConfigs(&cfg)
	}
	if cfg.Scheme != "http" {
		p.h2 = p.newTransport2()
	}
	return p
}

// RoundTrip sends ex.Request as it stands (fields included: the caller has added
// X-Forwarded-* and chosen Authority) and fills ex.Response up to the head;
// Response.Body streams the rest and gives the connection back at its end. Its
// Read returns an error for which errors.Is(err, io.ErrUnexpectedEOF) holds where
// the answer was cut short. Interim responses go to ex.Front.
//
// A request body of known length up to 16 KiB is read before anything is sent;
// other bodies are sent by a goroutine of ex.Go while RoundTrip waits for the
// answer, and go on being sent after RoundTrip has returned.
//
// On an error, Response is empty. If errors.Is(err, ErrDial) or ErrNotProcessed,
// the exchange can be given to another pool as it is: its body, if any, is whole.
func (p *Pool) RoundTrip(ex *exchange.Exchange) error {
	switch {
	case p.cfg.Scheme == "h2c":
		return p.roundTrip2(ex)
	case p.cfg.Scheme == "https" && p.alpn.Load() != alpnHTTP1 && !upgrades(&ex.Request):
		return p.roundTrip2(ex)
	}
	return p.roundTrip1(ex)
}

// Stats tells how many connections a pool has.
type Stats struct {
	Open int // idle ones included
	Idle int // for HTTP/2, connections without a stream
	Busy int // exchanges in flight
}

// Stats counts connections and exchanges.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{
		Open: len(p.conns) + len(p.conns2),
		Idle: len(p.idle),
		Busy: len(p.conns) - len(p.idle) + len(p.streams2),
	}
	for _, c := range p.conns2 {
		if c.streams == 0 {
			s.Idle++
		}
	}
	return s
}

// Close closes idle connections and lets those in use finish; they are closed
// afterwards. The pool still works, without keeping connections, for exchanges
// that hold an old route table. Their time limits are kept only as long as Sweep
// goes on being called: until Stats().Busy is 0.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	for _, c := range idle {
		p.removeLocked(c, errIdle)
	}
	idle2 := p.closeIdle2Locked(func(*conn2) bool { return true })
	p.mu.Unlock()
	closeAll(idle, idle2)
}
