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
		var options, frames, referrer, software bool
		for i := range f.Len() {
			name := f.At(i).Name
			switch len(name) { // most fields are told apart by that
			case len("x-content-type-options"):
				options = options || exchange.EqualFold(name, "x-content-type-options")
			case len("x-frame-options"): // referrer-policy is as long
				frames = frames || exchange.EqualFold(name, "x-frame-options")
				referrer = referrer || exchange.EqualFold(name, "referrer-policy")
			case len("server"), len("x-powered-by"):
				software = software || tellsSoftware(name, nil)
			}
		}
		if software {
			f.DelFunc(tellsSoftware)
		}
		if !options {
			f.Add(nameContentTypeOptions, valueNosniff)
		}
		if !frames {
			f.Add(nameFrameOptions, valueSameOrigin)
		}
		if !referrer {
			f.Add(nameReferrerPolicy, valueStrictOrigin)
		}
	})
}

var (
	nameContentTypeOptions, valueNosniff  = []byte("X-Content-Type-Options"), []byte("nosniff")
	nameFrameOptions, valueSameOrigin     = []byte("X-Frame-Options"), []byte("SAMEORIGIN")
	nameReferrerPolicy, valueStrictOrigin = []byte("Referrer-Policy"), []byte("strict-origin-when-cross-origin")
)

// tellsSoftware tells whether a field is of no use but to those who look for
// software with known holes.
func tellsSoftware(name, _ []byte) bool {
	return exchange.EqualFold(name, "server") || exchange.EqualFold(name, "x-powered-by")
}
