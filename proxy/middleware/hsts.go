package middleware

import (
	"strconv"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// hsts tells browsers to use nothing but HTTPS for the site (RFC 6797).
type hsts struct {
	on         bool
	maxAge     time.Duration
	subdomains bool
	preload    bool
}

var _ Middleware = (*hsts)(nil)

const day = 24 * time.Hour

// Labels binds hsts and its details.
func (m *hsts) Labels(s *label.Set) {
	s.Bool(&m.on, "hsts", false,
		"Tell browsers to use only HTTPS for this site from now on (Strict-Transport-Security).", label.Example("true"))
	s.Duration(&m.maxAge, "hsts.max-age", 365*day,
		"How long browsers remember that; `0` makes them forget it.", label.Needs("hsts"), label.Example("30d"))
	s.Bool(&m.subdomains, "hsts.subdomains", false,
		"Also for all names below the site's.", label.Needs("hsts"), label.Example("true"))
	s.Bool(&m.preload, "hsts.preload", false,
		"Agree to be on the list that browsers come with. Hard to take back.", label.Needs("hsts"), label.Example("true"))
	s.Check("hsts.preload", func() error {
		if m.preload && (!m.subdomains || m.maxAge < 365*day) {
			return &label.Error{
				Why: "cannot be had: the list takes only sites that include subdomains, for at least a year",
				Fix: "add hsts.subdomains: true and an hsts.max-age of 365d or more, or remove this one",
			}
		}
		return nil
	})
}

// Wrap adds the field to answers over HTTPS; over plain HTTP it must not be there
// (RFC 6797 section 7.2). It replaces the origin's own.
func (m *hsts) Wrap(next exchange.Handler) exchange.Handler {
	if !m.on {
		return next
	}
	value := strconv.AppendInt([]byte("max-age="), int64(m.maxAge/time.Second), 10)
	if m.subdomains {
		value = append(value, "; includeSubDomains"...)
	}
	if m.preload {
		value = append(value, "; preload"...)
	}
	line := exchange.NewLine("Strict-Transport-Security", string(value))
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		secure := ex.Scheme == "https"
		next.Serve(ex)
		if secure {
			ex.Response.Fields.SetLine(line)
		} else {
			ex.Response.Fields.Del("strict-transport-security")
		}
	})
}
