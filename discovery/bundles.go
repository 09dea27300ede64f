package discovery

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portway/label"
	"portway/route"
)

// bundles knows who defines which bundle, and what is in force for each name.
//
// Whoever defined a name first keeps it, static files before containers. What was
// good once stays in force for those who use it, also when its definition is gone or
// has got a mistake: to leave it out could open a site, and to reject the routes
// would take sites away that were all right.
type bundles struct {
	defined map[string][]definition // by name, sorted by the right to it
	inForce map[string]route.InForce
	dirty   map[string]bool // names about which something changed
}

// definition is a bundle with who defines it.
type definition struct {
	*route.Bundle
	owner   string    // container ID, or "" for a static file
	created time.Time // of the container
}

func newBundles() *bundles {
	return &bundles{defined: make(map[string][]definition), inForce: make(map[string]route.InForce), dirty: make(map[string]bool)}
}

// replace makes all the definitions of an owner these.
func (b *bundles) replace(owner string, created time.Time, all []route.Bundle) {
	for name, list := range b.defined {
		rest := slices.DeleteFunc(slices.Clone(list), func(d definition) bool { return d.owner == owner })
		if len(rest) == len(list) {
			continue
		}
		b.defined[name], b.dirty[name] = rest, true
		if len(rest) == 0 {
			delete(b.defined, name)
		}
	}
	for i := range all {
		name := all[i].Name
		// Files come in their order, which the sort keeps.
		list := append(slices.Clone(b.defined[name]), definition{&all[i], owner, created})
		slices.SortStableFunc(list, func(x, y definition) int {
			return cmp.Or(x.created.Compare(y.created), strings.Compare(x.owner, y.owner))
		})
		b.defined[name], b.dirty[name] = list, true
	}
}

// settle decides what is in force for the names about which something changed.
// used tells whether any route uses a name. It returns the names for which there is
// another answer now.
func (b *bundles) settle(used func(name string) bool) (changed map[string]bool) {
	changed = make(map[string]bool)
	for name := range b.dirty {
		before, now := b.inForce[name], b.decide(name, used)
		b.inForce[name] = now
		if now.Source == "" {
			delete(b.inForce, name)
		}
		if before.Source != now.Source || before.Why != now.Why || !maps.Equal(before.Values, now.Values) {
			changed[name] = true
		}
	}
	clear(b.dirty)
	return changed
}

// decide tells what is to be in force for a name.
func (b *bundles) decide(name string, used func(name string) bool) route.InForce {
	last, list := b.inForce[name], b.defined[name]
	switch {
	case len(list) == 0 && (last.Values == nil || !used(name)):
		return route.InForce{}
	case len(list) == 0:
		last.Why = "which nobody defines any more; what it said last stays in force until Portway starts again"
		last.Fix = "define it again, or take something else"
	case list[0].Broken:
		last.Source = list[0].Source
		last.Why, last.Fix = "which has a mistake in "+list[0].Source, "correct it there"
		if last.Values != nil {
			last.Why += "; what it said before stays in force"
		}
	default:
		return route.InForce{Values: list[0].Values, Source: list[0].Source}
	}
	return last
}

// lookup tells what counts for a name.
func (b *bundles) lookup(name string) route.InForce {
	if now, ok := b.inForce[name]; ok {
		return now
	}
	unknown := route.InForce{Why: "which nobody defines"}
	if near := label.Nearest(name, slices.Sorted(maps.Keys(b.inForce))); near != "" {
		unknown.Fix = "did you mean " + near + "?"
	} else {
		unknown.Fix = "define it by labels " + route.BundleKey(name, "<option>") + " of any container, or by bundles: in a static file"
	}
	return unknown
}

// problems tells what is wrong with definitions.
func (b *bundles) problems() []label.Problem {
	var all []label.Problem
	for name, list := range b.defined {
		for i, d := range list {
			all = append(all, d.Problems...)
			if i > 0 && !d.Equal(list[0].Bundle) {
				all = append(all, label.Problem{
					Source: d.Source, Why: fmt.Sprintf("defines the bundle %s otherwise than %s, which had the name first, so that this has no effect", name, list[0].Source),
					Fix: "choose another name for one of the two, or make them equal",
				})
			}
		}
	}
	return all
}

// define takes in which bundles a container defines now; s is nil if it is gone.
func (w *watcher) define(e *entry, s *snapshot) {
	var all []route.Bundle
	if s != nil && !s.oneOff {
		all = s.written.Bundles
	}
	if s != nil && e.defined == s.written {
		return
	}
	if e.defined != nil {
		for i := range e.defined.Drafts { // nobody may be left to use what is in force
			for _, name := range e.defined.Drafts[i].Uses {
				w.bundles.dirty[name] = true
			}
		}
	}
	had := e.defined != nil && len(e.defined.Bundles) > 0
	e.defined = nil
	if s != nil {
		e.defined = s.written
	}
	if had || len(all) > 0 {
		created := time.Time{}
		if s != nil {
			created = s.created
		}
		w.bundles.replace(e.id, created, all)
		w.dirty = true
	}
}

// settle has all routes parsed again that depend on a bundle which changed, and those
// of files that changed themselves.
func (w *watcher) settle() {
	if w.newSet {
		w.bundles.replace("", time.Time{}, w.static.bundles)
	}
	if len(w.bundles.dirty) > 0 {
		changed := w.bundles.settle(w.uses)
		touched := func(uses []string) bool {
			return slices.ContainsFunc(uses, func(name string) bool {
				return changed[name] || w.bundles.inForce[name].Source == ""
			})
		}
		for _, e := range w.entries {
			if e.parsed != nil && slices.ContainsFunc(e.parsed.Drafts, func(d route.Draft) bool { return touched(d.Uses) }) {
				e.parsed = nil
				w.changed(e)
			}
		}
		for _, r := range w.files {
			if touched(r.uses) {
				r.stale, w.newSet = true, true
			}
		}
	}
	if w.newSet {
		w.serve()
	}
}

// uses tells whether any route uses a bundle.
func (w *watcher) uses(name string) bool {
	for _, e := range w.entries {
		if e.snap != nil && slices.ContainsFunc(e.snap.written.Drafts, func(d route.Draft) bool { return slices.Contains(d.Uses, name) }) {
			return true
		}
	}
	for _, r := range w.files {
		if slices.Contains(r.uses, name) {
			return true
		}
	}
	return false
}

// parse makes a container's routes, if they are not those that its labels, bundles
// and secrets give now. A route that could be served before, and now cannot, stays as
// it was.
func (w *watcher) parse(e *entry) {
	if e.parsed == e.snap.written {
		return
	}
	before := e.routes
	e.parsed, e.routes = e.snap.written, e.snap.routes
	for i := range e.routes {
		w.newFiles = w.newFiles || e.routes[i].Files != nil
	}
	if !e.snap.depends() {
		return
	}
	for i := range e.snap.written.Drafts {
		p := w.rules.parser.Parse(&e.snap.written.Drafts[i], w.bundles.lookup)
		w.newFiles = w.newFiles || p.Files != nil
		if p.Route == nil && len(e.snap.written.Problems) == 0 {
			if j := slices.IndexFunc(before, func(old route.Parsed) bool { return old.Name == p.Name && old.Route != nil }); j >= 0 {
				p.Route, p.Options = before[j].Route, before[j].Options
			}
		}
		e.routes = append(e.routes, p)
	}
}
