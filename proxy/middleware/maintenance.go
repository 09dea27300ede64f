package middleware

import (
	"net/http"
	"time"

	"portway/label"
	"portway/proxy/errorpage"
	"portway/proxy/exchange"
)

// maintenance tells visitors that the site is being worked on, and lets those in who
// work on it.
type maintenance struct {
	on      bool
	message string
	retry   time.Duration
	allow   label.Ranges
}

var _ Middleware = (*maintenance)(nil)

// Labels binds maintenance and its details.
func (m *maintenance) Labels(s *label.Set) {
	s.Bool(&m.on, "maintenance", false,
		"Answer with 503 and a page that says that the site is being worked on.", label.Example("true"))
	s.String(&m.message, "maintenance.message", "This site is being worked on. It will be back soon.",
		"What that page says.", label.Needs("maintenance"), label.Example("Back at 10 o'clock."))
	s.Duration(&m.retry, "maintenance.retry-after", 5*time.Minute,
		"When clients and search engines should come back.", label.Needs("maintenance"), label.Example("1h"))
	s.Each("maintenance.allow",
		"Clients with these addresses get in. Addresses, ranges, or `private` for all that are not public.",
		m.allow.Add, label.Needs("maintenance"), label.Example("192.168.0.0/16"))
}

// Wrap answers, if the site is being worked on.
func (m *maintenance) Wrap(next exchange.Handler) exchange.Handler {
	if !m.on {
		return next
	}
	allow := m.allow
	page := errorpage.Page{Status: http.StatusServiceUnavailable, Title: "Maintenance", Why: m.message, Retry: m.retry}
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		if ex.ClientIP.IsValid() && allow.Contain(ex.ClientIP) {
			next.Serve(ex)
			return
		}
		page.Answer(ex)
	})
}
