package route

import (
	"net/netip"
	"strings"

	"portway/label"
)

// Explanation tells how a request finds its route, or why it finds none.
type Explanation struct {
	Route *Route // as Lookup gives it
	Known bool   // as Lookup gives it
	Host  string // as the table looks for it; empty if it is no name
	By    string // the host of the table that fits: a name, or "*." and a name, or "~" for patterns; empty if none does
	Doubt bool   // servers read the path in ways that lead to different routes, so that none gets the request
	Tried []Try  // all routes of the host, in the order in which they are tried
}

// Try is a route that a request could go to.
type Try struct {
	Route  *Route
	Misses []Miss // nothing: it fits
}

// Miss is something that a route asks for, and a request does not have.
type Miss struct {
	Option string // that asks for it, for example "path" or "match.method"
	Wants  string // as it is written, but for secrets
	Got    string // what the request has instead, for people; empty if it has nothing
}

// Explain is Lookup for people: it says the same, slowly, and tells why. It finds all
// that does not fit, where Lookup stops at the first.
func (t *Table) Explain(q *Request) Explanation {
	var x Explanation
	name, ok := appendName(make([]byte, 0, maxHost), q.Host)
	if !ok {
		return x
	}
	x.Host = string(name)
	s := t.siteFor(q, &x)
	if s == nil {
		return x
	}
	l := look{Request: *q, table: t}
	defer l.release()
	if s == t.patterns {
		l.host = name
	}
	readings := []reading{normally, literally, obligingly}
	certain := s.anyPath || plain(q.Path)
	if certain {
		readings = readings[:1]
	}
	found := make([]*Route, len(readings))
	for i := range s.entries {
		e := &s.entries[i]
		if !e.fitsHost(&l) {
			continue
		}
		x.Known = true
		try := Try{Route: e.route}
		if e.criteria != nil {
			try.Misses = e.criteria.misses(&l)
		}
		fits := 0
		for j, how := range readings {
			path, text := q.Path, q.Path
			if !certain {
				path, text = how.appendTo(nil, q.Path), how.appendText(nil, q.Path)
			}
			if !e.fitsPath(path, text, how.lax) {
				continue
			}
			fits++
			if found[j] == nil && len(try.Misses) == 0 {
				found[j] = e.route
			}
		}
		if fits < len(readings) {
			miss := Miss{e.route.PathKind.option(), e.route.Path, string(q.Path)}
			if fits > 0 {
				miss.Got += ", which only some servers read as that"
			}
			try.Misses = append([]Miss{miss}, try.Misses...)
		}
		x.Tried = append(x.Tried, try)
	}
	x.Route = found[0]
	for _, r := range found {
		if r != found[0] {
			x.Route, x.Doubt = nil, true
		}
	}
	return x
}

// siteFor finds the routes of a host as Lookup does.
func (t *Table) siteFor(q *Request, x *Explanation) *site {
	x.By = x.Host
	if s := t.exact[x.Host]; s != nil {
		return s
	}
	if addr, err := netip.ParseAddr(x.Host); err == nil && q.Host[0] == '[' {
		x.By = addr.String()
		if s := t.exact[x.By]; s != nil {
			return s
		}
	}
	if first, rest, ok := strings.Cut(x.Host, "."); ok && first != "" {
		x.By = "*." + rest
		if s := t.wild[rest]; s != nil {
			return s
		}
	}
	x.By = hostPattern
	if t.patterns != nil {
		l := look{Request: *q, table: t, host: []byte(x.Host)}
		if t.patterns.knows(&l) {
			return t.patterns
		}
	}
	x.By = ""
	return nil
}

// option is the one that asks for a path of that kind.
func (k PathKind) option() string {
	switch k {
	case Exact:
		return "path.exact"
	case Pattern:
		return "path.regexp"
	}
	return "path"
}

// NearHost returns the host among the table's that a person may have meant, or "".
func (t *Table) NearHost(host string) string {
	var hosts []string
	for h := range t.exact {
		hosts = append(hosts, h)
	}
	return label.Nearest(strings.ToLower(host), hosts)
}
