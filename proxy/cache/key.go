package cache

import (
	"bytes"

	"portway/proxy/cache/policy"
	"portway/proxy/exchange"
)

// key appends what a response is found by to the exchange's memory: the route, the
// host and what of the path and query counts. None of these has a line feed in it.
func (h *handler) key(ex *exchange.Exchange) []byte {
	from := len(ex.Memory)
	q := &ex.Request
	ex.Memory = append(append(ex.Memory, h.route...), '\n')
	host := len(ex.Memory)
	ex.Memory = append(ex.Memory, q.Authority...)
	for i := host; i < len(ex.Memory); i++ {
		if c := ex.Memory[i]; 'A' <= c && c <= 'Z' {
			ex.Memory[i] = c + 'a' - 'A'
		}
	}
	ex.Memory = append(append(ex.Memory, '\n'), q.Path...)
	if q.HasQuery {
		ex.Memory = h.appendQuery(ex.Memory, q.Query)
	}
	return ex.Memory[from:len(ex.Memory):len(ex.Memory)]
}

// appendQuery appends "?" and those parameters that count, or nothing if all of them
// are left out.
func (h *handler) appendQuery(dst, query []byte) []byte {
	dst = append(dst, '?')
	if h.opts.query == nil && h.opts.ignoreQuery == nil {
		return append(dst, query...)
	}
	from := len(dst)
	for len(query) > 0 {
		var parameter []byte
		parameter, query, _ = bytes.Cut(query, []byte("&"))
		name, _, _ := bytes.Cut(parameter, []byte("="))
		if h.opts.query != nil && !h.opts.query.fit(name) || h.opts.ignoreQuery.fit(name) {
			continue
		}
		if len(dst) > from {
			dst = append(dst, '&')
		}
		dst = append(dst, parameter...)
	}
	if len(dst) == from {
		return dst[:from-1]
	}
	return dst
}

// extra appends the other parts of the key to the exchange's memory: what origins
// make addresses of (X-Forwarded-*, which the proxy has written or a trusted proxy
// vouches for), and what the route's options name.
func (h *handler) extra(ex *exchange.Exchange) []byte {
	from := len(ex.Memory)
	f := &ex.Request.Fields
	for name, value := range f.All() {
		if forwarded(name) && !address(name) {
			ex.Memory = append(ex.Memory, name...)
			ex.Memory = append(append(append(ex.Memory, ':'), value...), '\n')
		}
	}
	for _, name := range h.opts.keyHeaders {
		ex.Memory = appendPart(ex.Memory, name, f)
	}
	for _, name := range h.opts.keyCookies {
		eachCookie(f, func(n, v []byte) bool {
			if string(n) != name {
				return false
			}
			ex.Memory = append(append(ex.Memory, '1'), v...)
			return true
		})
		ex.Memory = append(ex.Memory, '\n')
	}
	return ex.Memory[from:len(ex.Memory):len(ex.Memory)]
}

// eachCookie calls f for each cookie of a request until it returns true.
func eachCookie(fields *exchange.Fields, f func(name, value []byte) bool) {
	for i := range fields.Len() {
		l := fields.At(i)
		if !exchange.EqualFold(l.Name, "cookie") {
			continue
		}
		for rest := l.Value; len(rest) > 0; {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, []byte(";"))
			name, value, _ := bytes.Cut(bytes.TrimSpace(pair), []byte("="))
			if f(name, value) {
				return
			}
		}
	}
}

// bypassed tells whether a request goes past the cache altogether.
func (h *handler) bypassed(ex *exchange.Exchange) bool {
	q := &ex.Request
	if q.Upgrade != nil || q.Body != nil || len(q.Authority) == 0 {
		return true
	}
	for i := range q.Fields.Len() {
		if f := q.Fields.At(i); hidden(f.Name) {
			return true
		}
	}
	if policy.OriginOnly(&q.Fields) || h.opts.bypassPaths.fit(q.Path) {
		return true
	}
	for _, name := range h.opts.bypassHeaders {
		if q.Fields.Has(name) {
			return true
		}
	}
	found := false
	if h.opts.bypassCookies != nil {
		eachCookie(&q.Fields, func(name, _ []byte) bool {
			found = h.opts.bypassCookies.fit(name)
			return found
		})
	}
	return found
}

// hidden tells whether a field makes some origins answer as if another address, host,
// scheme or method had been asked for. A request with one is between its client and the
// origin, since nobody else would know what the answer is to.
func hidden(name []byte) bool {
	if len(name) < len("x-host") {
		return false
	}
	switch name[0] | 0x20 {
	case 'x', 'f', 'p':
	default:
		return false
	}
	for _, n := range [...]string{
		"x-host", "x-original-host", "x-backend-host", "x-server-name", "x-http-host-override", "proxy-host",
		"x-original-url", "x-original-uri", "x-rewrite-url", "x-request-uri", "x-proxy-url", "x-http-destinationurl",
		"x-http-method", "x-http-method-override", "x-method-override",
		"x-scheme", "x-url-scheme", "front-end-https",
	} {
		if sameField(name, n) {
			return true
		}
	}
	return false
}

// forwarded tells whether a field is one of X-Forwarded and X-Forwarded-*.
func forwarded(name []byte) bool {
	const prefix = "x-forwarded"
	return len(name) >= len(prefix) && sameField(name[:len(prefix)], prefix)
}

// sameField compares a field's name with one in lower case. "_" counts as "-", as it
// does for origins behind CGI or WSGI.
func sameField(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// address tells whether a field says no more than who the visitor is.
func address(name []byte) bool { return exchange.EqualFold(name, "x-forwarded-for") }

// plainAddress leaves of X-Forwarded-For and Forwarded nothing but the visitor's
// address: what stands before it in a chain of proxies, anybody can have written. What
// Forwarded says beside the address is in X-Forwarded-*, too, which belong to the key.
func plainAddress(ex *exchange.Exchange) {
	f := &ex.Request.Fields
	if !ex.ClientIP.IsValid() {
		f.Del("x-forwarded-for")
		f.Del("forwarded")
		return
	}
	from := len(ex.Memory)
	ex.Memory = ex.ClientIP.AppendTo(ex.Memory)
	ip := ex.Memory[from:len(ex.Memory):len(ex.Memory)]
	if f.Has("x-forwarded-for") {
		f.Set("x-forwarded-for", ip)
	}
	if !f.Has("forwarded") {
		return
	}
	from = len(ex.Memory)
	if ex.ClientIP.Is4() {
		ex.Memory = append(append(ex.Memory, "for="...), ip...)
	} else {
		ex.Memory = append(append(append(ex.Memory, `for="[`...), ip...), `]"`...)
	}
	for _, part := range [...][2]string{{"x-forwarded-proto", ";proto="}, {"x-forwarded-host", ";host="}} {
		if v := f.Get(part[0]); len(v) > 0 {
			ex.Memory = append(append(ex.Memory, part[1]...), '"')
			ex.Memory = append(append(ex.Memory, v...), '"')
		}
	}
	f.Set("forwarded", ex.Memory[from:len(ex.Memory):len(ex.Memory)])
}
