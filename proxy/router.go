package proxy

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"portway/proxy/exchange"
	"portway/route"
)

const challengePath = "/.well-known/acme-challenge/"

// wellKnown is what paths of Config.Secure begin with, so that most requests need no look.
const wellKnown = "/.well-known/"

// route finds who answers ex.
func (s *Server) route(ex *exchange.Exchange) {
	q := &ex.Request
	if len(q.Path) == 0 || q.Path[0] != '/' {
		s.noPath(ex)
		return
	}
	from := s.identify(ex)
	if ex.Conn.TLS == nil && s.aside(ex) {
		return
	}
	if len(s.secure) > 0 && from.secure && bytes.HasPrefix(q.Path, []byte(wellKnown)) {
		if h := s.secure[string(q.Path)]; h != nil {
			h.Serve(ex)
			return
		}
	}
	t := s.table.Load()
	if t == nil {
		s.fail(ex, page{status: http.StatusServiceUnavailable, retry: time.Second, why: "Portway is starting."}, nil)
		return
	}
	r, known := t.routes.Lookup(&route.Request{ // as in Server.nearMisses
		Host: q.Authority, Path: q.Path, Query: q.Query, Method: q.Method,
		Client: ex.ClientIP, Fields: &q.Fields, Places: s.cfg.Places,
	})
	if r == nil {
		s.notFound(ex, known)
		return
	}
	ex.RouteName, ex.RouteID = r.Name, r.ID
	if r.HTTPS != route.Off && s.barred(ex, r, from.secure) {
		return
	}
	s.setForwarded(ex, &from)
	if !forwardable(q.Upgrade) {
		q.Upgrade = nil // a server may ignore it (RFC 9110 section 7.8)
	}
	t.sites[r.Index].chain.Serve(ex)
}

// forwardable tells whether a client may switch to a protocol on its way through
// us. HTTP/2 may not: its later requests would go past routes and middleware. Of
// a list nobody could tell what was agreed on.
func forwardable(protocol []byte) bool {
	return !exchange.EqualFold(protocol, "h2c") && !foldPrefix(protocol, "http/") && !foldPrefix(protocol, "tls/") &&
		bytes.IndexByte(protocol, ',') < 0
}

// noPath answers requests that are not for a path.
func (s *Server) noPath(ex *exchange.Exchange) {
	q := &ex.Request
	switch {
	case string(q.Method) == http.MethodConnect:
		s.fail(ex, page{status: http.StatusNotImplemented, why: "There is no tunnel to be had here."}, nil)
	case string(q.Method) == http.MethodOptions && string(q.Path) == "*":
		ex.Response.Status = http.StatusOK // RFC 9110 section 9.3.7
	default:
		s.fail(ex, page{status: http.StatusBadRequest, why: "The address has no path."}, nil)
	}
}

// aside answers what is served over plain HTTP for any host, ahead of routes.
func (s *Server) aside(ex *exchange.Exchange) bool {
	path := ex.Request.Path
	if h := s.plain[string(path)]; h != nil {
		h.Serve(ex)
		return true
	}
	if s.cfg.Certs == nil || !bytes.HasPrefix(path, []byte(challengePath)) {
		return false
	}
	mine := true
	others := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { mine = false })
	exchange.ToHTTP(s.cfg.Certs.HTTPChallenge(others)).Serve(ex)
	if !mine {
		ex.Response.Clear()
	}
	return mine
}

// notFound tells a missing site from a missing path.
func (s *Server) notFound(ex *exchange.Exchange, known bool) {
	q := &ex.Request
	p := page{status: http.StatusNotFound}
	switch {
	case known:
		p.title, p.why = "No such page", "The site "+text(q.Authority)+" has nothing at this path."
	case misdirected(ex):
		p.status, p.why = http.StatusMisdirectedRequest, "This connection does not lead to "+text(q.Authority)+"."
	default:
		p.title, p.why = "No such site", "There is no site by the name of "+text(q.Authority)+" here."
	}
	s.fail(ex, p, nil)
}

// misdirected tells whether a client may have used a connection that it opened
// for another site (RFC 9113 section 9.1.1), so that it should try one of its own.
func misdirected(ex *exchange.Exchange) bool {
	c := ex.Conn
	return c.TLS != nil && c.Protocol >= exchange.HTTP2 && c.TLS.ServerName != "" &&
		!strings.EqualFold(c.TLS.ServerName, string(hostOf(ex.Request.Authority)))
}

// barred answers requests for a site with HTTPS that came without, and those
// for which there is no certificate yet.
func (s *Server) barred(ex *exchange.Exchange, r *route.Route, secure bool) bool {
	switch {
	case !secure && r.HTTPS == route.Only:
		s.notFound(ex, false)
	case secure && ex.Conn.TLS == nil: // a proxy in front has done it
		return false
	case s.hold(ex, r):
	case secure:
		return false
	case s.httpsPort == 0: // HTTPS is switched off
		return false
	default:
		s.redirect(ex)
	}
	return true
}

// hold tells visitors of a site without a certificate why, instead of sending
// them to one that their browser would not let them see.
func (s *Server) hold(ex *exchange.Exchange, r *route.Route) bool {
	if s.cfg.Certs == nil {
		return false
	}
	why, retry, hold := s.cfg.Certs.Hold(siteName(ex.Request.Authority, r))
	if hold {
		s.fail(ex, page{status: http.StatusServiceUnavailable, title: "No certificate yet", why: why, retry: max(retry, time.Second)}, nil)
	}
	return hold
}

// redirect sends the client to the same place by HTTPS.
func (s *Server) redirect(ex *exchange.Exchange) {
	q, p := &ex.Request, &ex.Response
	start := len(ex.Memory)
	b := append(ex.Memory, "https://"...)
	b = append(b, bareHost(q.Authority)...)
	if s.httpsPort != 443 {
		b = strconv.AppendInt(append(b, ':'), int64(s.httpsPort), 10)
	}
	b = append(b, q.Path...)
	if q.HasQuery {
		b = append(append(b, '?'), q.Query...)
	}
	ex.Memory = b
	p.Status = http.StatusPermanentRedirect
	p.Fields.Add([]byte("Location"), b[start:])
}

// bareHost is authority without its port.
func bareHost(authority []byte) []byte {
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && bytes.IndexByte(authority[i:], ']') < 0 {
		return authority[:i]
	}
	return authority
}

// hostOf is authority without port, trailing dot, and brackets.
func hostOf(authority []byte) []byte {
	host := bytes.TrimSuffix(bareHost(authority), []byte("."))
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host
}

// siteName is the host of authority in lower case: the route's own string, if it
// is not a wildcard's, since a new one would be made for every request.
func siteName(authority []byte, r *route.Route) string {
	host := hostOf(authority)
	for _, h := range r.Hosts {
		if exchange.EqualFold(host, h) {
			return h
		}
	}
	return strings.ToLower(string(host))
}
