package route

import (
	"bytes"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"portway/label"
)

// Table is an immutable set of routes, safe for any number of readers.
type Table struct {
	routes   []*Route
	problems []label.Problem
	sources  []*Source
	names    []Name
	exact    map[string]*site // by host
	wild     map[string]*site // by what follows "*."
	patterns *site            // of all routes whose hosts are patterns; nil if there are none
	scratch  sync.Pool        // of *scratch
}

// NewTable compiles routes, which it copies and does not change. Where two
// routes claim the same host and path, the earlier in the slice wins, except
// that one whose upstreams are all Stopped yields to one with a live upstream,
// and that routes share a claim whose roles say so. A later route's lost claim
// becomes a Problem, unless it is itself stopped; a route that lost all its
// hosts is dropped. problems are those found before, while reading labels and
// files. sources are what all of it comes from, in any order.
//
// A route can be a member of another one for some of its hosts and hold others.
func NewTable(routes []*Route, problems []label.Problem, sources ...*Source) *Table {
	t := &Table{
		problems: slices.Clone(problems),
		sources:  sources,
		exact:    make(map[string]*site, len(routes)),
		wild:     make(map[string]*site),
	}
	t.scratch.New = func() any { return new(scratch) }
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
	for _, sites := range []map[string]*site{t.exact, t.wild} {
		for _, s := range sites {
			s.compile()
		}
	}
	if t.patterns != nil {
		t.patterns.compile()
	}
	n := namer{index: make(map[string]int)}
	n.add(routes, settled)
	slices.SortFunc(n.names, func(a, b Name) int { return strings.Compare(a.Host, b.Host) })
	t.names = n.names
	t.problems = append(t.problems, n.problems...)
	return t
}

// serve makes r known to Lookup by the hosts that it holds.
func (t *Table) serve(r *Route, hosts []string) {
	e := newEntry(r)
	for _, host := range hosts {
		switch {
		case strings.HasPrefix(host, hostPattern):
			if t.patterns == nil {
				t.patterns = &site{}
			}
			p := e
			p.host, _ = compileHostPattern(host[len(hostPattern):]) // nil, which fits nothing here, is an error that Options tells
			t.patterns.entries = append(t.patterns.entries, p)
		case strings.HasPrefix(host, "*."):
			addTo(t.wild, host[2:], e)
		default:
			addTo(t.exact, host, e)
		}
	}
}

func addTo(sites map[string]*site, host string, e entry) {
	s := sites[host]
	if s == nil {
		s = &site{}
		sites[host] = s
	}
	s.entries = append(s.entries, e)
}

// Lookup finds the route for a request.
//
// A route for the exact host goes before a wildcard, and that before patterns. The
// host decides first: if none of its routes fits, no wildcard is asked. A wildcard
// stands for exactly one label, as in TLS certificates (RFC 9525 section 6.3). Of the
// routes of a host that fit, that with the highest Priority wins; then that with the
// longest path (a prefix fits on a segment boundary; of a pattern, what comes before
// its first special character counts), then an exact path before a pattern, and that
// before a prefix; then that with more criteria; then that which was given first. r
// is nil if none fits, and known tells whether any route has the host, for a better
// 404.
//
// Servers differ in how they read a path with escapes, dot segments, double
// slashes, backslashes or parameters. If such a path would belong to different
// routes of the host by different readings, r is nil: whoever sent it could be
// after the route with fewer protections.
//
// It does not allocate, except for IPv6 addresses that are not in canonical
// form, and for paths over 1 KiB that can be read in several ways.
func (t *Table) Lookup(q *Request) (r *Route, known bool) {
	var buf [maxHost]byte
	name, ok := appendName(buf[:0], q.Host)
	if !ok {
		return nil, false
	}
	s, ok := t.exact[string(name)]
	if !ok && q.Host[0] == '[' {
		if addr, err := netip.ParseAddr(string(name)); err == nil {
			s, ok = t.exact[addr.String()]
		}
	}
	if !ok {
		if dot := bytes.IndexByte(name, '.'); dot >= 1 {
			s, ok = t.wild[string(name[dot+1:])]
		}
	}
	if !ok && t.patterns == nil {
		return nil, false
	}
	if ok && s.only != nil {
		return s.only, true
	}
	return t.search(q, s, name)
}

// search looks through the routes of s, or where no route has the name of a host
// (s is nil), through those with patterns.
func (t *Table) search(q *Request, s *site, name []byte) (r *Route, known bool) {
	l := look{Request: *q, table: t}
	if s != nil {
		r, known = s.find(&l), true
	} else {
		m := l.memory()
		m.host = append(m.host[:0], name...)
		l.host = m.host
		if known = t.patterns.knows(&l); known {
			r = t.patterns.find(&l)
		}
	}
	l.release()
	return r, known
}

// OfHost yields the routes that Lookup chooses from for a host, in lower case and
// without port: those with the exact host, or else the wildcard, or else the pattern.
func (t *Table) OfHost(host string) iter.Seq[*Route] {
	s, ok := t.exact[host]
	if !ok {
		if dot := strings.IndexByte(host, '.'); dot >= 1 {
			s, ok = t.wild[host[dot+1:]]
		}
	}
	return func(yield func(*Route) bool) {
		if !ok {
			s = t.patterns
		}
		if s == nil {
			return
		}
		for i := range s.entries {
			e := &s.entries[i]
			if !ok && (e.host == nil || !e.host.MatchString(host)) {
				continue
			}
			if !yield(e.route) {
				return
			}
		}
	}
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

// Routes returns all routes in the order given to NewTable, Route.Index being
// the place. Neither the slice nor the routes may be changed.
func (t *Table) Routes() []*Route { return t.routes }

// Problems returns what was rejected, and why: first what NewTable was given,
// then lost claims. The slice may not be changed.
func (t *Table) Problems() []label.Problem { return t.problems }

// Names returns, sorted by host, the hosts that need a certificate: those of
// routes whose HTTPS is not Off. The slice may not be changed.
func (t *Table) Names() []Name { return t.names }

// Sources returns all containers and files that the table was made of, and those
// that have nothing in it, in no particular order. Neither the slice nor the sources
// may be changed.
func (t *Table) Sources() []*Source { return t.sources }
