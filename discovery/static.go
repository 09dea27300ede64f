package discovery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"portway/label"
	"portway/route"
)

// staticRoutes is what comes of the static files, in their order.
type staticRoutes struct {
	routes   []*route.Route
	problems []label.Problem
	sources  []*route.Source
}

// resolved is a static route with what came of it.
type resolved struct {
	signature string // of what route was made of
	uses      []string
	stale     bool         // a bundle changed since
	route     *route.Route // nil if it has never been good
	problems  []lineProblem
	files     []string
	settings  []route.Setting
}

// onStatic takes in what the files say now.
func (w *watcher) onStatic(s *staticSet) {
	w.static, w.newSet, w.dirty = w.own.and(s), true, true
	w.emits.hurry(time.Now())
}

// and is all that both say.
func (s *staticSet) and(other *staticSet) *staticSet {
	return &staticSet{
		problems: slices.Concat(s.problems, other.problems), files: slices.Concat(s.files, other.files), bundles: slices.Concat(s.bundles, other.bundles),
	}
}

// serve makes the routes of the files, those that need it. One that did not change
// stays the same pointer, and one that is rejected now stays as it was.
func (w *watcher) serve() {
	w.newSet, w.dirty = false, true
	var now staticRoutes
	now.problems = append(now.problems, w.static.problems...)
	there := make(map[string]bool)
	for i := range w.static.files {
		file := &w.static.files[i]
		problems := slices.Clone(file.problems)
		for _, s := range file.routes {
			there[s.id] = true
			r := w.resolve(file.source, s)
			problems = append(problems, r.problems...)
			if r.route != nil {
				now.routes = append(now.routes, r.route)
			}
		}
		now.sources = append(now.sources, w.sourceOfFile(file, file.source))
		slices.SortStableFunc(problems, func(a, b lineProblem) int { return cmp.Compare(a.line, b.line) })
		for _, p := range problems {
			now.problems = append(now.problems, p.Problem)
		}
	}
	for id, r := range w.files {
		if !there[id] {
			for _, name := range r.uses {
				w.bundles.dirty[name] = true // nobody may be left to use what is in force
			}
			delete(w.files, id)
		}
	}
	w.serving = now
}

// resolve makes one route, if it is not the one from before.
func (w *watcher) resolve(source string, s *staticRoute) *resolved {
	old := w.files[s.id]
	if old != nil && !old.stale && old.signature == s.signature && old.route != nil && len(old.problems) == 0 && !s.broken {
		return old
	}
	parsed := w.rules.parser.Parse(&s.draft, w.bundles.lookup)
	r := &resolved{signature: s.signature, uses: s.draft.Uses, settings: parsed.Settings}
	r.files = parsed.Files
	w.newFiles = w.newFiles || r.files != nil
	for _, p := range parsed.Problems {
		if line := s.line(strings.TrimPrefix(p.Key, s.name+".")); line > 0 {
			p.Source = fmt.Sprintf("%s:%d", source, line)
			r.problems = append(r.problems, lineProblem{line, p})
		}
	}
	switch {
	case parsed.Route != nil && !s.broken:
		made := *parsed.Route
		made.ID, made.Name, made.Upstreams = s.id, s.name, s.upstreams
		r.route = &made
	case old != nil:
		r.route, r.signature = old.route, old.signature
	}
	w.files[s.id] = r
	return r
}
