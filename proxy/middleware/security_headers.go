package middleware

import (
	"portway/label"
	"portway/proxy/exchange"
)

// securityHeaders is a preset of fields that hardly any site works worse with. The
// application's own value wins where it gives one.
type securityHeaders struct {
	on bool
}

var _ Middleware = (*securityHeaders)(nil)

// Labels binds security-headers.
func (m *securityHeaders) Labels(s *label.Set) {
	s.Bool(&m.on, "security-headers", false,
		"Add `X-Content-Type-Options: nosniff`, `X-Frame-Options: SAMEORIGIN` and `Referrer-Policy: strict-origin-when-cross-origin` "+
			"to responses without them, and remove `Server` and `X-Powered-By`.",
		label.Example("true"))
}

// Wrap adds the preset, if it is asked for.
func (m *securityHeaders) Wrap(next exchange.Handler) exchange.Handler {
	if !m.on {
		return next
	}
	type field struct {
		lower       string
		name, value []byte
	}
	fields := []field{
		{"x-content-type-options", []byte("X-Content-Type-Options"), []byte("nosniff")},
		{"x-frame-options", []byte("X-Frame-Options"), []byte("SAMEORIGIN")},
		{"referrer-policy", []byte("Referrer-Policy"), []byte("strict-origin-when-cross-origin")},
	}
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		next.Serve(ex)
		f := &ex.Response.Fields
		drop(f, tellsSoftware)
		for i := range fields {
			if !f.Has(fields[i].lower) {
				f.Add(fields[i].name, fields[i].value)
			}
		}
	})
}

// tellsSoftware tells whether a field is of no use but to those who look for
// software with known holes.
func tellsSoftware(name, _ []byte) bool {
	return exchange.EqualFold(name, "server") || exchange.EqualFold(name, "x-powered-by")
}
