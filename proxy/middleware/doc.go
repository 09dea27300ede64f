// Package middleware holds what can be put between a route and its origin, one
// middleware per file. All lists them in the order in which requests pass them,
// and says why it is that order.
//
// # Options
//
// A middleware's options begin with one word, its own: "cors", "rate-limit". The
// word alone is the option that switches it on, and usually says all; what refines
// it follows after a dot, as in "rate-limit.burst", and is a Problem without it.
// Lists have commas between their items; where items may contain commas, as fields
// and rules do, each is a line of its own.
//
// # Cost
//
// A middleware whose options are not given is not in the chain at all: its Wrap
// returns the next Handler. Those that are in it allocate nothing for an ordinary
// request: what can be computed is computed by Wrap, and what depends on a request
// is written to Exchange.Memory.
//
// # State
//
// What a middleware learns (the buckets of a rate limit, requests in flight,
// passwords that were right) lives in the Handler that Wrap returns. The proxy
// keeps the chain of a route when the table is replaced, as long as the settings of
// all its middleware are equal: containers may start, stop and be replaced, and
// other labels of the route (its hosts, for example) may change. When a label of
// any middleware of the route changes, all state of that route begins anew: buckets
// are full again, passwords are checked again, and the requests that are in flight
// at that moment are not counted by the new chain. They finish in the old one.
package middleware

import (
	"portway/label"
	"portway/proxy/exchange"
)

// Middleware is one thing that happens to the exchanges of a route on their way
// to the origin and back. Its fields are settings only, bound to labels; what it
// learns while it works lives in the Handler that Wrap returns.
type Middleware interface {
	label.Binder

	// Wrap puts the middleware in front of next, or returns next itself if its
	// settings ask for nothing. It is called once for each route and must not
	// change the receiver. The Handler is used by many goroutines, and goes on
	// being used when the table is replaced by one in which the settings of all
	// middleware of the route are equal (reflect.DeepEqual).
	Wrap(next exchange.Handler) exchange.Handler
}
