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

// Owners knows, beside clients on this machine itself, who may be told what goes wrong.
// It is asked for error pages only.
type Owners interface {
	// Owner tells whether a request for host (lower case, without port) comes from the
	// owner, by its cookies, which anybody may have made up, and what Explain is to get.
	Owner(host string, cookies []*http.Cookie) (at string, ok bool)
	// Explain is the address of a page that explains what becomes of a request;
	// empty: there is none. For clients on this machine at is empty.
	Explain(at, method, url string) string
}

// signed tells whether ex comes from somebody who has signed in elsewhere.
func (s *Server) signed(ex *exchange.Exchange, authority []byte) (at string, ok bool) {
	f := &ex.Request.Fields
	if s.cfg.Owners == nil || ex.Conn == nil || !f.Has("cookie") {
		return "", false
	}
	given := &http.Request{Header: http.Header{}}
	for i := 0; ; {
		var line []byte
		if line, i = f.Find("cookie", i); i < 0 {
			break
		}
		given.Header.Add("Cookie", string(line))
	}
	return s.cfg.Owners.Owner(strings.ToLower(string(hostOf(authority))), given.Cookies())
}

// local tells whether ex comes from this machine itself, not through anything that
// runs on it, such as a tunnel or another proxy: each address that is named must be of
// loopback, and no field may be there that those leave.
func (s *Server) local(ex *exchange.Exchange) bool {
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

// inside is what the owner is told on an error page; to others it is nothing. A page of
// another site that has its name point here must not learn the names of ours, so
// nothing is told at hosts that are not known.
func (s *Server) inside(ex *exchange.Exchange, status int, cause error) (i errorpage.Inside) {
	asked, at := ex.Asked(), ""
	if !s.local(ex) {
		if at, i.Signed = s.signed(ex, asked.Authority); !i.Signed {
			return i
		}
	}
	scheme := "http://"
	if ex.Conn.TLS != nil || i.Signed { // whose cookie comes by HTTPS only, perhaps to a proxy in front
		scheme = "https://"
	}
	i.Ask = "portway explain '" + strings.ReplaceAll(scheme+text(asked.Authority)+text(asked.Path), "'", "%27") + "'"
	if s.cfg.Owners != nil {
		target := string(asked.Path)
		if asked.HasQuery {
			target += "?" + string(asked.Query)
		}
		i.Link = s.cfg.Owners.Explain(at, string(ex.Request.Method), scheme+string(asked.Authority)+target)
	}
	if cause != nil {
		i.Reason = cause.Error()
	}
	if status == http.StatusNotFound {
		i.Reason = s.nearMisses(ex)
	}
	return i
}

// nearMisses says why no route fits; empty: there are none at that host.
func (s *Server) nearMisses(ex *exchange.Exchange) string {
	t, q := s.table.Load(), &ex.Request
	if t == nil {
		return ""
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
	return strings.Join(parts, "; ")
}
