package route

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"portway/label"
)

// Table is an immutable set of routes, safe for any number of readers.
type Table struct {
	routes   []*Route
	problems []label.Problem
	names    []string
	exact    map[string]site // by host
	wild     map[string]site // by what follows "*."
}

// site is what one host serves, the longest prefix first.
type site []entry

type entry struct {
	prefix  string // as CompilePath gives it
	decoded string // without any percent-encoding
	route   *Route
}

// NewTable compiles routes, which it copies and does not change. Where two
// routes claim the same host and path, the earlier in the slice wins, except
// that one whose upstreams are all Stopped yields to one with a live upstream,
// and that routes share a claim whose roles say so. A later route's lost claim
// becomes a Problem, unless it is itself stopped; a route that lost all its
// hosts is dropped. problems are those found before, while reading labels and
// files.
//
// A route can be a member of another one for some of its hosts and hold others.
func NewTable(routes []*Route, problems []label.Problem) *Table {
	t := &Table{
		problems: slices.Clone(problems),
		exact:    make(map[string]site, len(routes)),
		wild:     make(map[string]site),
	}
	settled := t.settle(routes)
	copies := make(map[*Route]*Route, len(routes))
	for i, n := range settled {
		if len(n.held)+len(n.shared) == 0 {
			continue
		}
		r := *routes[i]
		r.Hosts = slices.Concat(n.held, n.shared)
		r.Members = n.members
		r.Index = len(t.routes)
		t.routes = append(t.routes, &r)
		t.serve(&r, n.held)
		copies[routes[i]] = &r
	}
	for _, r := range t.routes {
		for i := range r.Members {
			r.Members[i].Route = copies[r.Members[i].Route]
		}
	}
	for _, sites := range []map[string]site{t.exact, t.wild} {
		for _, s := range sites {
			slices.SortFunc(s, func(a, b entry) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
		}
	}
	slices.Sort(t.names)
	t.names = slices.Compact(t.names)
	return t
}

// serve makes r known to Lookup by the hosts that it holds.
func (t *Table) serve(r *Route, hosts []string) {
	e := entry{prefix: r.Path, decoded: "/", route: r}
	if r.Path != "/" {
		e.decoded = string(obligingly.appendTo(nil, []byte(r.Path)))
	}
	for _, host := range hosts {
		if len(host) > 2 && host[:2] == "*." {
			t.wild[host[2:]] = append(t.wild[host[2:]], e)
		} else {
			t.exact[host] = append(t.exact[host], e)
		}
	}
	if r.HTTPS != Off {
		t.names = append(t.names, hosts...)
	}
}

// Lookup finds the route for a host (as sent: any case, perhaps with port and
// trailing dot; IPv6 addresses in brackets) and a path (as sent, without query).
//
// A route for the exact host goes before a wildcard. The host decides first: if
// none of its paths fits, no wildcard is asked. A wildcard stands for exactly
// one label, as in TLS certificates (RFC 9525 section 6.3). Of the routes of a
// host, the longest path prefix on a segment boundary wins; r is nil if none
// fits, and known tells whether any route has the host, for a better 404.
//
// Servers differ in how they read a path with escapes, dot segments, double
// slashes, backslashes or parameters. If such a path would belong to different
// routes of the host by different readings, r is nil: whoever sent it could be
// after the route with fewer protections.
//
// It does not allocate, except for IPv6 addresses that are not in canonical
// form, and for paths over 1 KiB that can be read in several ways.
func (t *Table) Lookup(host, path []byte) (r *Route, known bool) {
	var buf [maxHost]byte
	name, ok := appendName(buf[:0], host)
	if !ok {
		return nil, false
	}
	s, ok := t.exact[string(name)]
	if !ok && len(host) > 0 && host[0] == '[' {
		if addr, err := netip.ParseAddr(string(name)); err == nil {
			s, ok = t.exact[addr.String()]
		}
	}
	if !ok {
		dot := bytes.IndexByte(name, '.')
		if dot < 1 {
			return nil, false
		}
		if s, ok = t.wild[string(name[dot+1:])]; !ok {
			return nil, false
		}
	}
	return s.find(path), true
}

// appendName appends what a Host field names to dst, which must have room for
// maxHost bytes: in lower case, without port, brackets and trailing dot.
func appendName(dst, host []byte) (name []byte, ok bool) {
	if len(host) > 0 && host[0] == '[' {
		end := bytes.IndexByte(host, ']')
		if end < 0 {
			return nil, false
		}
		host = host[1:end]
	} else if colon := bytes.IndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	host = bytes.TrimSuffix(host, []byte("."))
	if len(host) == 0 || len(host) > maxHost {
		return nil, false
	}
	for _, c := range host {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst, true
}

// find returns the route for path, or nil.
func (s site) find(path []byte) *Route {
	if len(s) == 1 && s[0].prefix == "/" {
		return s[0].route
	}
	if plain(path) {
		return s.match(path)
	}
	return s.findOdd(path)
}

// findOdd is find for a path that servers may read differently.
func (s site) findOdd(path []byte) *Route {
	var buf [1024]byte
	r := s.match(normally.appendTo(buf[:0], path))
	if r != s.match(literally.appendTo(buf[:0], path)) {
		return nil
	}
	path = obligingly.appendTo(buf[:0], path)
	for _, e := range s {
		if below(path, e.decoded) {
			if e.route == r {
				return r
			}
			return nil
		}
	}
	return nil
}

// match returns the route with the longest prefix of path.
func (s site) match(path []byte) *Route {
	for i := range s {
		if below(path, s[i].prefix) {
			return s[i].route
		}
	}
	return nil
}

// Routes returns all routes in the order given to NewTable, Route.Index being
// the place. Neither the slice nor the routes may be changed.
func (t *Table) Routes() []*Route { return t.routes }

// Problems returns what was rejected, and why: first what NewTable was given,
// then lost claims. The slice may not be changed.
func (t *Table) Problems() []label.Problem { return t.problems }

// Names returns, sorted and without duplicates, the hosts that need a
// certificate: those of routes whose HTTPS is not Off. The slice may not be
// changed.
func (t *Table) Names() []string { return t.names }
