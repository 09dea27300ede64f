// Package upstream speaks to origins: it takes an exchange, sends its request to
// one replica over a pooled connection, and fills in the response.
package upstream

import (
	"crypto/tls"
	"errors"
	"time"

	"portway/proxy/exchange"
)

// Config is how to reach one replica.
type Config struct {
	Network string // "tcp" or "unix"
	Address string
	Scheme  string      // "http", "https", "h2c"
	TLS     *tls.Config // for https; nil: verify by the system's roots, name from Address

	MaxIdle     int           // idle connections kept; 0: 64
	MaxConns    int           // open connections; 0: no limit
	DialTimeout time.Duration // 0: 5 s
	FirstByte   time.Duration // from the request sent to the response's head; 0: 60 s
	Idle        time.Duration // silence in the middle of a body; 0: 60 s
	IdleConn    time.Duration // an unused connection is closed after; 0: 60 s
}

// ErrDial wraps errors from connecting: nothing was sent, so that another
// replica can be tried whatever the request.
var ErrDial = errors.New("cannot connect")

// ErrNotProcessed wraps errors where the origin cannot have begun to work on the
// request (for example a reused connection that was closed before any byte of an
// answer, with a request that is safe to repeat, or HTTP/2's REFUSED_STREAM).
var ErrNotProcessed = errors.New("not processed by the origin")

// ErrTimeout wraps errors where the origin was too slow to answer.
var ErrTimeout = errors.New("origin too slow")

// ErrProtocol wraps errors where the origin answered what is not HTTP.
var ErrProtocol = errors.New("origin broke the protocol")

// Pool holds the connections to one replica. Its methods may be called from many
// goroutines.
type Pool struct{}

// NewPool makes a pool; it connects at first need.
func NewPool(cfg Config) *Pool { panic("not yet") }

// RoundTrip sends ex.Request as it stands (fields included: the caller has added
// X-Forwarded-* and chosen Authority) and fills ex.Response up to the head;
// Response.Body streams the rest and gives the connection back at its end.
// Interim responses go to ex.Front. On an error, Response is untouched and, if
// errors.Is(err, ErrDial) or ErrNotProcessed and no byte of the request's body
// has been read, the exchange can be tried again elsewhere.
func (p *Pool) RoundTrip(ex *exchange.Exchange) error { panic("not yet") }

// Close closes idle connections and lets those in use finish.
func (p *Pool) Close() {}
