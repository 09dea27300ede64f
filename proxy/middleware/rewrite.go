package middleware

import (
	"bytes"
	"strings"

	"portway/label"
	"portway/proxy/exchange"
)

// rewrite replaces paths by rules, the first of which that fits counts. A "?" in a
// replacement begins a query, which the request's own query is added to.
type rewrite struct {
	rules []rule
}

var _ Middleware = (*rewrite)(nil)

// Labels binds rewrite.
func (m *rewrite) Labels(s *label.Set) {
	s.Func("rewrite", rulesType,
		"Give the application another path: a regular expression for the whole path, a space, and what takes its place, "+
			"in which `$1` is what the first parentheses fit. The first rule that fits counts.",
		func(value string) (err error) {
			m.rules, err = parseRules(value, checkPath)
			return err
		}, label.Example("/blog/(.*) /$1"), label.Lines())
}

// checkPath makes sure that what takes a path's place is a path, whatever the groups
// of its rule hold.
func checkPath(r *rule) *label.Error {
	for i, p := range r.text {
		switch {
		case i == 0 && !strings.HasPrefix(p.text, "/"):
			return &label.Error{Why: "does not begin with /", Fix: "write it like /new/$1, and leave the slash out of the group"}
		case strings.Contains(p.text, "#"):
			return &label.Error{Why: "has a #", Fix: "write %23 for it"}
		}
	}
	return nil
}

// Wrap changes paths, if there are rules.
func (m *rewrite) Wrap(next exchange.Handler) exchange.Handler {
	if len(m.rules) == 0 {
		return next
	}
	rules := m.rules
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		q := &ex.Request
		for i := range rules {
			from := len(ex.Memory)
			result, ok := rules[i].replace(ex.Memory, q.Path)
			if !ok {
				continue
			}
			ex.Memory = result
			path, query, hasQuery := bytes.Cut(taken(ex, from), []byte("?"))
			if path = oneSlash(ex, path); climbs(path) {
				refuseClimbing(ex)
				return
			}
			ex.Rewriting()
			askedPath, askedQuery, askedHas := q.Path, q.Query, q.HasQuery
			q.Path = path
			if hasQuery {
				q.Query, q.HasQuery = joinQuery(ex, query, askedQuery), true
			}
			next.Serve(ex)
			q.Path, q.Query, q.HasQuery = askedPath, askedQuery, askedHas // what was asked for is what logs show
			return
		}
		next.Serve(ex)
	})
}

// joinQuery puts two queries together.
func joinQuery(ex *exchange.Exchange, a, b []byte) []byte {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	from := len(ex.Memory)
	ex.Memory = append(append(append(ex.Memory, a...), '&'), b...)
	return taken(ex, from)
}
