package middleware

import (
	"portway/label"
	"portway/proxy/exchange"
)

// responseHeaders changes fields of responses, also of those that Portway gives in
// place of the origin for this route.
type responseHeaders struct {
	changes []change
}

var _ Middleware = (*responseHeaders)(nil)

// Labels binds response-headers.
func (m *responseHeaders) Labels(s *label.Set) {
	s.Func("response-headers", fieldsType,
		"Change header fields of responses: `Name: value` sets one, `+Name: value` adds one, `-Name` removes it. Placeholders as in request-headers.",
		func(value string) (err error) {
			m.changes, err = parseChanges(value)
			for _, c := range m.changes {
				if c.lower == "host" {
					return &label.Error{Why: "Host is no field of a response", Fix: "set it with request-headers"}
				}
			}
			return err
		}, label.Example("-Server"), label.Lines(), shownFields)
}

// Wrap adds the changes, if there are any.
func (m *responseHeaders) Wrap(next exchange.Handler) exchange.Handler {
	if len(m.changes) == 0 {
		return next
	}
	changes := m.changes
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		next.Serve(ex)
		apply(changes, &ex.Response.Fields, ex)
	})
}
