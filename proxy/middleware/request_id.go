package middleware

import (
	"portway/label"
	"portway/proxy/exchange"
)

// requestID tells the origin the ID that Portway's log and error pages know the
// request by. What the client sends under that name is replaced: it would let
// strangers write into the logs of others.
type requestID struct {
	on       bool
	response bool
}

var _ Middleware = (*requestID)(nil)

// Labels binds request-id and its detail.
func (m *requestID) Labels(s *label.Set) {
	s.Bool(&m.on, "request-id", false,
		"Send the application each request's ID, the one in Portway's log and error pages, as X-Request-Id.", label.Example("true"))
	s.Bool(&m.response, "request-id.response", false,
		"Send it to the client too.", label.Needs("request-id"), label.Example("true"))
}

var nameRequestID = exchange.NewName("X-Request-Id")

// Wrap adds the fields, if that is asked for.
func (m *requestID) Wrap(next exchange.Handler) exchange.Handler {
	if !m.on {
		return next
	}
	response := m.response
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		id := ex.RequestIDText()
		setNamed(&ex.Request.Fields, nameRequestID, id)
		next.Serve(ex)
		if response {
			setNamed(&ex.Response.Fields, nameRequestID, id)
		}
	})
}

// setNamed puts a line in place of all that remove drops.
func setNamed(f *exchange.Fields, name *exchange.Name, value []byte) {
	if f.MayHaveNamed(name) {
		remove(f, name.Lower())
	}
	f.AddNamed(name, value)
}
