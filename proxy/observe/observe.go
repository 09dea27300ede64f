// Package observe is how others learn what the proxy does: metrics, access logs and
// traces are Observers.
package observe

import (
	"crypto/tls"
	"time"

	"portway/proxy/exchange"
)

// Observer is told of every request that the proxy answers, on the goroutine that
// serves it: it must not wait for anything, and not allocate if it can be helped. It
// keeps nothing of what it is given.
type Observer interface {
	// Begin is called before a route is looked for. It may add fields to the request.
	Begin(ex *exchange.Exchange)
	// End is called once for each Begin, when the answer is written or given up.
	End(e Event)
}

// Connections is what an Observer may be too, to be told of TLS handshakes.
type Connections interface {
	// Handshake is called after each one that a client has begun: with its outcome, or
	// why it failed, and how long it took.
	Handshake(state *tls.ConnectionState, took time.Duration, err error)
}

// Event is an exchange that is over.
type Event struct {
	Exchange *exchange.Exchange // its request as it came, its response as it went
	Sent     int64              // bytes of content that the client was given
	Duration time.Duration      // from the complete head of the request to the end of the answer
	Err      error              // why the answer was broken off; nil: it was not
}

// All has several Observers called, the last one first at the end.
type All []Observer

var (
	_ Observer    = All(nil)
	_ Connections = All(nil)
)

// Begin calls all of them.
func (a All) Begin(ex *exchange.Exchange) {
	for _, o := range a {
		o.Begin(ex)
	}
}

// End calls all of them.
func (a All) End(e Event) {
	for i := len(a) - 1; i >= 0; i-- {
		a[i].End(e)
	}
}

// Handshake calls those of them that want to know.
func (a All) Handshake(state *tls.ConnectionState, took time.Duration, err error) {
	for _, o := range a {
		if c, ok := o.(Connections); ok {
			c.Handshake(state, took, err)
		}
	}
}
