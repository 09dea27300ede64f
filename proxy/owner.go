package proxy

import (
	"net/http"
	"net/netip"
	"strings"

	"portway/proxy/errorpage"
	"portway/proxy/exchange"
	"portway/route"
)

// relaying are fields by which proxies and tunnels show that they relay for others.
var relaying = []string{"via", "cf-connecting-ip", "true-client-ip", "x-client-ip", "x-original-forwarded-for", "cdn-loop"}

// owner tells whether ex comes from this machine itself, not through anything that
// runs on it, such as a tunnel or another proxy: each address that is named must be of
// loopback, and no field may be there that those leave.
func (s *Server) owner(ex *exchange.Exchange) bool {
	if !s.cfg.OwnerPages || ex.Conn == nil || ex.Relayed {
		return false
	}
	peer := plainAddr(ex.Conn.Remote.Addr())
	if !peer.IsLoopback() || s.trusted(peer) {
		return false
	}
	f := &ex.Request.Fields
	for _, name := range relaying {
		if f.Has(name) {
			return false
		}
	}
	if !f.Has("x-forwarded-for") { // then none of the others is ours
		for name, value := range f.All() {
			if family(name, value) {
				return false
			}
		}
	}
	for _, name := range []string{"x-forwarded-for", "x-real-ip"} { // our own, or not looked at yet
		for i := 0; ; {
			var value []byte
			if value, i = f.Find(name, i); i < 0 {
				break
			}
			if a, err := netip.ParseAddr(string(value)); err != nil || !plainAddr(a).IsLoopback() {
				return false
			}
		}
	}
	if !f.Has("forwarded") {
		return true
	}
	elements, ok := parseForwarded(joined(ex, "forwarded"))
	for _, e := range elements {
		if a, good := parseNode(e.node); !good || !a.IsLoopback() {
			return false
		}
	}
	return ok
}

// inside is what the owner is told on an error page. A page of another site that has
// its name point here must not learn the names of ours, so nothing is told at hosts
// that are not known.
func (s *Server) inside(ex *exchange.Exchange, status int, cause error) errorpage.Inside {
	q := &ex.Request
	scheme := "http"
	if ex.Conn.TLS != nil {
		scheme = "https"
	}
	i := errorpage.Inside{Ask: "portway explain '" + strings.ReplaceAll(scheme+"://"+text(q.Authority)+text(q.Path), "'", "%27") + "'"}
	if cause != nil {
		i.Reason = cause.Error()
	}
	t := s.table.Load()
	if t == nil || status != http.StatusNotFound {
		return i
	}
	x := t.routes.Explain(&route.Request{
		Host: q.Authority, Path: q.Path, Query: q.Query, Method: q.Method, Client: ex.ClientIP, Fields: &q.Fields, Places: s.cfg.Places,
	})
	const most = 5 // routes that are told about
	var parts []string
	if x.Doubt {
		parts = append(parts, "servers read this path in ways that lead to different routes")
	}
	for _, try := range x.Tried[:min(len(x.Tried), most)] {
		var misses []string
		for _, m := range try.Misses {
			misses = append(misses, m.Option+" "+m.Wants)
		}
		if misses != nil {
			parts = append(parts, "the route "+try.Route.Name+" asks for "+strings.Join(misses, " and "))
		}
	}
	i.Reason = strings.Join(parts, "; ")
	return i
}
