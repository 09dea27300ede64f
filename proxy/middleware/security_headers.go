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
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		next.Serve(ex)
		f := &ex.Response.Fields
		f.Del("server") // of no use but to those who look for software with known holes
		f.Del("x-powered-by")
		f.AddDefaults(preset)
	})
}

var preset = exchange.NewLines(
	exchange.NewLine("X-Content-Type-Options", "nosniff"),
	exchange.NewLine("X-Frame-Options", "SAMEORIGIN"),
	exchange.NewLine("Referrer-Policy", "strict-origin-when-cross-origin"),
)
