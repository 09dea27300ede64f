package route

import (
	"cmp"
	"regexp"
	"slices"

	"portway/label"
)

// site is what one host serves, in the order in which its routes are tried.
type site struct {
	entries []entry
	only    *Route // the first route, if it fits everything
	anyPath bool   // none of the routes asks for a path
	texts   bool   // some routes ask for exact paths or have patterns
}

// entry is a route as Lookup sees it.
type entry struct {
	path     string // as CompilePath gives it, unless pattern is there
	kind     pathKind
	criteria *Match // nil: none
	route    *Route
	decoded  string         // path without any percent-encoding, as obligingly reads it
	pattern  *regexp.Regexp // for paths
	host     *regexp.Regexp // nil where the site is that of one host
	length   int            // of the path, to compare
}

// pathKind is a PathKind that is quick to compare, in the order that counts for paths
// of the same length.
type pathKind uint8

const (
	isExact pathKind = iota
	isPattern
	isPrefix
)

func newEntry(r *Route) entry {
	e := entry{route: r, kind: isPrefix, path: r.Path}
	if r.Match.Criteria() > 0 {
		e.criteria = &r.Match
	}
	switch r.PathKind {
	case Pattern:
		e.kind = isPattern
		e.pattern, _ = label.Pattern(r.Path) // nil, which fits nothing, is an error that Options tells
		if literal, err := regexp.Compile(r.Path); err == nil {
			prefix, _ := literal.LiteralPrefix()
			e.length = max(1, len(prefix))
		}
		return e
	case Exact:
		e.kind = isExact
		e.decoded = string(obligingly.appendText(nil, []byte(r.Path)))
	default:
		e.decoded = "/"
		if r.Path != "/" {
			e.decoded = string(obligingly.appendTo(nil, []byte(r.Path)))
		}
	}
	e.length = len(r.Path)
	return e
}

// anyPath tells whether the entry fits all paths.
func (e *entry) anyPath() bool { return e.kind == isPrefix && e.path == "/" }

// compile brings the entries in order and finds shortcuts.
func (s *site) compile() {
	slices.SortStableFunc(s.entries, func(a, b entry) int {
		return cmp.Or(
			cmp.Compare(b.route.Priority, a.route.Priority),
			cmp.Compare(b.length, a.length),
			cmp.Compare(a.kind, b.kind),
			cmp.Compare(b.route.Match.Criteria(), a.route.Match.Criteria()),
		)
	})
	s.anyPath = true
	for i := range s.entries {
		e := &s.entries[i]
		s.anyPath = s.anyPath && e.anyPath()
		s.texts = s.texts || e.kind != isPrefix
	}
	if first := &s.entries[0]; first.anyPath() && first.criteria == nil && first.host == nil {
		s.only = first.route
	}
}

// knows tells whether any route has the host.
func (s *site) knows(l *look) bool {
	for i := range s.entries {
		if s.entries[i].fitsHost(l) {
			return true
		}
	}
	return false
}

// find returns the route for a request, or nil.
func (s *site) find(l *look) *Route {
	if path := l.Path; s.anyPath || plain(path) {
		return s.match(l, path, path, false)
	}
	return s.findOdd(l)
}

// findOdd is find for a path that servers may read differently.
func (s *site) findOdd(l *look) *Route {
	var buf [1024]byte
	var found *Route
	for i, how := range [...]reading{normally, literally, obligingly} {
		var text []byte
		if s.texts {
			m := l.memory()
			m.text = how.appendText(m.text[:0], l.Path)
			text = m.text
		}
		switch r := s.match(l, how.appendTo(buf[:0], l.Path), text, how.lax); {
		case i == 0:
			found = r
		case r != found:
			return nil
		}
		if found == nil {
			return nil
		}
	}
	return found
}

// match returns the first route that fits by one reading of the path. text is what
// patterns are held against; lax says that all is decoded, and that path has no slash
// at its end.
func (s *site) match(l *look, path, text []byte, lax bool) *Route {
	for i := range s.entries {
		e := &s.entries[i]
		if e.fitsPath(path, text, lax) && e.fitsHost(l) && (e.criteria == nil || e.criteria.fits(l)) {
			return e.route
		}
	}
	return nil
}

func (e *entry) fitsHost(l *look) bool { return l.host == nil || e.host != nil && e.host.Match(l.host) }

func (e *entry) fitsPath(path, text []byte, lax bool) bool {
	wanted := e.path
	if lax {
		wanted = e.decoded
	}
	switch e.kind {
	case isExact:
		if lax {
			path = text
		}
		return string(path) == wanted
	case isPattern:
		return e.pattern != nil && e.pattern.Match(text)
	default:
		return below(path, wanted)
	}
}
