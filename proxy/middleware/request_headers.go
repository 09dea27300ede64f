package middleware

import (
	"slices"

	"portway/label"
	"portway/proxy/exchange"
)

// requestHeaders changes fields of requests on their way to the origin.
type requestHeaders struct {
	changes []change
	host    string // instead of the client's; empty: not given
}

var _ Middleware = (*requestHeaders)(nil)

// Labels binds request-headers.
func (m *requestHeaders) Labels(s *label.Set) {
	s.Func("request-headers", fieldsType,
		"Change header fields of requests to the application: `Name: value` sets one, `+Name: value` adds one, `-Name` removes it. "+
			"A value may have placeholders: `{client_ip}`, `{host}`, `{method}`, `{path}`, `{query}`, `{request_id}`, `{route}`, `{scheme}`, `{uri}`.",
		m.parse, label.Example("X-Client: {client_ip}"), label.Lines(), shownFields)
}

func (m *requestHeaders) parse(value string) error {
	changes, err := parseChanges(value)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.lower != "host" {
			continue
		}
		constant := len(c.value) == 1 && c.value[0].then < 0
		if c.kind != setField || !constant || !validAuthority(string(c.value[0].text)) {
			return &label.Error{Why: "Host can only be set, and to a fixed name", Fix: "for example Host: app.internal"}
		}
		m.host = string(c.value[0].text)
	}
	m.changes = slices.DeleteFunc(changes, func(c change) bool { return c.lower == "host" })
	return nil
}

// validAuthority tells whether s can be sent as the host of a request.
func validAuthority(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' && c != ':' && c != '[' && c != ']' {
				return false
			}
		}
	}
	return s != ""
}

// Wrap adds the changes, if there are any.
func (m *requestHeaders) Wrap(next exchange.Handler) exchange.Handler {
	if len(m.changes) == 0 && m.host == "" {
		return next
	}
	changes, host := m.changes, []byte(m.host)
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		q := &ex.Request
		apply(changes, &q.Fields, ex)
		if len(host) == 0 {
			next.Serve(ex)
			return
		}
		ex.Rewriting()
		asked := q.Authority
		q.Authority = host
		next.Serve(ex)
		q.Authority = asked // what was asked for is what logs show
	})
}
