package middleware

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// cors tells browsers which other sites' scripts may read the answers (the Fetch
// standard's CORS protocol). It answers preflights itself, and speaks for the
// application: fields of that kind which the application sends are replaced.
//
// CORS protects nothing from clients that are no browsers: a request from an origin
// that is not allowed is passed on, and its answer carries no permission.
type cors struct {
	any         bool     // all origins
	origins     []string // in lower case; "https://*.example.com" has one wildcard label
	methods     []string
	headers     []string // "*": whatever is asked for
	expose      []string
	credentials bool
	maxAge      time.Duration
}

var _ Middleware = (*cors)(nil)

// Labels binds cors and its details.
func (m *cors) Labels(s *label.Set) {
	s.Each("cors",
		"Sites whose scripts may use this one: origins such as `https://app.example.com` or `https://*.example.com`, or `*` for all.",
		m.addOrigin, label.Example("https://app.example.com"))
	m.methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
	first := true
	s.Each("cors.methods", "Methods that those scripts may use.", func(item string) error {
		if first {
			first, m.methods = false, nil
		}
		return addName(&m.methods, strings.ToUpper(item))
	}, label.Needs("cors"), label.Default(strings.Join(m.methods, ", ")), label.Example("GET, POST"))
	s.Each("cors.headers", "Header fields that they may send, beyond the harmless ones; `*` for all.", func(item string) error {
		return addName(&m.headers, item)
	}, label.Needs("cors"), label.Example("Content-Type, X-Api-Key"))
	s.Each("cors.expose", "Header fields of answers that they may read, beyond the harmless ones; `*` for all.", func(item string) error {
		return addName(&m.expose, item)
	}, label.Needs("cors"), label.Example("X-Total"))
	s.Bool(&m.credentials, "cors.credentials", false,
		"Let them use the visitor's cookies and passwords for this site.", label.Needs("cors"), label.Example("true"))
	s.Duration(&m.maxAge, "cors.max-age", 0,
		"How long a browser may remember what it is allowed to do before it asks again.", label.Needs("cors"), label.Example("1h"))
	s.Check("cors.credentials", func() error {
		if !m.credentials {
			return nil
		}
		if m.any {
			return &label.Error{Why: "would give every site the visitor's identity, since cors is *", Fix: "list the origins in cors"}
		}
		for name, list := range map[string][]string{"cors.methods": m.methods, "cors.expose": m.expose} {
			if slices.Contains(list, "*") { // the Fetch standard reads it literally then
				return &label.Error{Why: "takes the meaning away from * in " + name, Fix: "list them in " + name}
			}
		}
		return nil
	})
}

func (m *cors) addOrigin(item string) error {
	if item == "*" {
		m.any = true
		return nil
	}
	wrong := func(why, fix string) error { return &label.Error{Why: label.Quote(item) + " " + why, Fix: fix} }
	if item == "null" {
		return wrong("is an origin that any page can give itself", "list real origins")
	}
	u, err := url.Parse(strings.ToLower(item))
	switch {
	case err != nil || u.Scheme == "" || u.Host == "" || strings.ContainsFunc(item, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return wrong("is no origin", "write it with its scheme, for example https://"+strings.TrimPrefix(item, "//"))
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(item, "?#"):
		return wrong("is more than an origin", "write "+u.Scheme+"://"+u.Host)
	case strings.Contains(strings.TrimPrefix(u.Host, "*."), "*"):
		return wrong("has a * in the wrong place", "write it for one level of names, for example https://*.example.com")
	case (u.Scheme == "https" && u.Port() == "443") || (u.Scheme == "http" && u.Port() == "80"):
		return wrong("names the default port, which browsers leave out", "write "+u.Scheme+"://"+u.Hostname())
	}
	m.origins = append(m.origins, u.Scheme+"://"+u.Host)
	return nil
}

// addName adds the name of a method or field to a list.
func addName(list *[]string, name string) error {
	if !validName(name) {
		return &label.Error{Why: label.Quote(name) + " is no name", Fix: "write names with commas between them"}
	}
	*list = append(*list, name)
	return nil
}

// Wrap answers preflights and marks other answers, if any origin is allowed.
func (m *cors) Wrap(next exchange.Handler) exchange.Handler {
	if !m.any && len(m.origins) == 0 {
		return next
	}
	h := &corsHandler{next: next, origins: m.origins, any: m.any, credentials: m.credentials}
	h.methods = []byte(strings.Join(m.methods, ", "))
	if slices.Contains(m.headers, "*") {
		h.echoHeaders = true
	} else {
		h.headers = []byte(strings.Join(m.headers, ", "))
	}
	if len(m.expose) > 0 {
		h.expose = exchange.NewLine("Access-Control-Expose-Headers", strings.Join(m.expose, ", "))
	}
	if m.maxAge > 0 {
		h.maxAge = strconv.AppendInt(nil, int64(m.maxAge/time.Second), 10)
	}
	return h
}

type corsHandler struct {
	next                          exchange.Handler
	origins                       []string
	any, credentials, echoHeaders bool
	methods, headers, maxAge      []byte
	expose                        *exchange.Line // nil: none
}

var _ exchange.Handler = (*corsHandler)(nil)

var (
	nameAllowOrigin  = []byte("Access-Control-Allow-Origin")
	nameAllowMethods = []byte("Access-Control-Allow-Methods")
	nameAllowHeaders = []byte("Access-Control-Allow-Headers")
	nameMaxAge       = []byte("Access-Control-Max-Age")
	lineAnyOrigin    = exchange.NewLine("Access-Control-Allow-Origin", "*")
	lineCredentials  = exchange.NewLine("Access-Control-Allow-Credentials", "true")
	lineVaryOrigin   = exchange.NewLine("Vary", "Origin")
	varyPreflight    = []byte("Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
)

// Serve answers a preflight, or marks the answer of next.
func (h *corsHandler) Serve(ex *exchange.Exchange) {
	f := &ex.Request.Fields
	origin := f.Get("origin")
	if origin != nil && string(ex.Request.Method) == http.MethodOptions && f.Has("access-control-request-method") {
		h.preflight(ex, origin)
		return
	}
	h.next.Serve(ex)
	p := &ex.Response.Fields
	list := p.List()
	for i := range list {
		if n := list[i].Name; len(n) > len(permissionPrefix) && n[0]|0x20 == 'a' && isPermission(n) { // hardly ever
			p.DelFunc(permission)
			break
		}
	}
	if !h.any {
		addVary(p, "origin", lineVaryOrigin)
	}
	if h.grant(p, origin) && h.expose != nil {
		p.AddLine(h.expose)
	}
}

// preflight answers what a browser asks before it sends a script's request.
func (h *corsHandler) preflight(ex *exchange.Exchange, origin []byte) {
	answer(ex, http.StatusNoContent, "", nil)
	p := &ex.Response.Fields
	p.Add(nameVary, varyPreflight)
	if !h.grant(p, origin) {
		return
	}
	p.Add(nameAllowMethods, h.methods)
	headers := h.headers
	if h.echoHeaders {
		headers = ex.Request.Fields.Get("access-control-request-headers")
	}
	if len(headers) > 0 {
		p.Add(nameAllowHeaders, headers)
	}
	if h.maxAge != nil {
		p.Add(nameMaxAge, h.maxAge)
	}
}

// grant lets scripts of origin read the answer, if they may.
func (h *corsHandler) grant(p *exchange.Fields, origin []byte) bool {
	switch {
	case origin == nil:
		return false
	case h.any:
		p.AddLine(lineAnyOrigin)
		return true
	case !h.allowed(origin):
		return false
	}
	p.Add(nameAllowOrigin, origin)
	if h.credentials {
		p.AddLine(lineCredentials)
	}
	return true
}

func (h *corsHandler) allowed(origin []byte) bool {
	for _, o := range h.origins {
		if matchOrigin(o, origin) {
			return true
		}
	}
	return false
}

// matchOrigin tells whether origin, as browsers send it, is the pattern or fits its
// wildcard, which stands for one label of a host name.
func matchOrigin(pattern string, origin []byte) bool {
	scheme, suffix, wild := strings.Cut(pattern, "*")
	if !wild {
		return exchange.EqualFold(origin, pattern)
	}
	n := len(origin) - len(scheme) - len(suffix)
	if n <= 0 || !exchange.EqualFold(origin[:len(scheme)], scheme) || !exchange.EqualFold(origin[len(scheme)+n:], suffix) {
		return false
	}
	for _, c := range origin[len(scheme) : len(scheme)+n] {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// permission tells whether a field is one that only the server of a site may send to
// browsers as its word on CORS.
func permission(name, _ []byte) bool {
	return len(name) > len(permissionPrefix) && name[0]|0x20 == 'a' && isPermission(name)
}

const permissionPrefix = "access-control-"

// isPermission is permission for names that are long enough.
func isPermission(name []byte) bool {
	return exchange.EqualFold(name[:len(permissionPrefix)], permissionPrefix)
}
