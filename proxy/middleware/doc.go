// Package middleware holds what can be put between a route and its origin, one
// middleware per file.
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
