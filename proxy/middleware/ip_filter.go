package middleware

import (
	"net/http"

	"portway/label"
	"portway/proxy/exchange"
)

// ipFilter lets only some addresses in. The address is that of the client behind
// trusted proxies: Exchange.ClientIP. Where it is not known, nobody can tell, and the
// client is refused.
type ipFilter struct {
	allow label.Ranges
	deny  label.Ranges
}

var _ Middleware = (*ipFilter)(nil)

// Labels binds ip.allow and ip.deny.
func (m *ipFilter) Labels(s *label.Set) {
	s.Each("ip.allow",
		"Only clients with these addresses get in; others get 403. Addresses, ranges, or `private` for all that are not public.",
		m.allow.Add, label.Example("192.168.0.0/16, 2001:db8::/32"))
	s.Each("ip.deny",
		"Clients with these addresses get 403, also where `ip.allow` has them.",
		m.deny.Add, label.Example("203.0.113.7"))
}

// Wrap adds the filter, if there is any range.
func (m *ipFilter) Wrap(next exchange.Handler) exchange.Handler {
	if len(m.allow) == 0 && len(m.deny) == 0 {
		return next
	}
	allow, deny := m.allow, m.deny
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ip := ex.ClientIP
		if !ip.IsValid() || deny.Contain(ip) || len(allow) > 0 && !allow.Contain(ip) {
			refuse(ex, http.StatusForbidden, "Your address has no access to this site.")
			return
		}
		next.Serve(ex)
	})
}
