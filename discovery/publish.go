package discovery

import (
	"cmp"
	"slices"
	"strings"

	"portway/label"
	"portway/route"
)

// publish emits a table if it would differ from the last.
func (w *watcher) publish() {
	if w.listed && len(w.inspections.pending) == 0 {
		w.synced = true
	}
	w.lookAround()
	w.settle()
	for key := range w.dirtyGroups {
		if g := w.groups[key]; g != nil {
			g.rebuild(w)
		}
	}
	clear(w.dirtyGroups)
	w.watchSecrets()
	if w.emitted && !w.dirty {
		return
	}
	t := route.NewTable(w.routes(), w.problems(), w.sources()...)
	w.report(t)
	w.dirty, w.emitted = false, true
	w.emit(t)
}

// lookAround finds out from where Portway looks at containers; if that changed,
// all their addresses can be different.
func (w *watcher) lookAround() {
	v := w.outside
	switch {
	case w.self == nil:
	case w.self.snap == nil:
		v = vantage{inside: true, unknown: true}
	default:
		a, t := w.attachments(w.self)
		if t != nil || a.mode != "host" {
			v = vantage{inside: true, name: w.self.name, unknown: t != nil, networks: a.networks}
		} else {
			v = vantage{} // as on the engine's host, whatever the way to the engine
		}
	}
	if v.equal(&w.vantage) {
		return
	}
	w.vantage = v
	for key := range w.groups {
		w.dirtyGroups[key] = true
	}
}

// routes returns all routes in the order in which they have a right to their
// hosts: static ones first, since somebody wrote them for this very purpose,
// then those of containers by who was there first.
func (w *watcher) routes() []*route.Route {
	if w.unordered || !w.ranked {
		w.reorder()
	}
	routes := make([]*route.Route, 0, len(w.serving.routes)+len(w.order))
	routes = append(routes, w.serving.routes...)
	for _, r := range w.order {
		routes = append(routes, r.Route)
	}
	return routes
}

// reorder ranks routes that are new by the age of their containers, behind all
// that were there before.
func (w *watcher) reorder() {
	w.order = w.order[:0]
	for _, g := range w.groups {
		w.order = append(w.order, g.routes...)
	}
	slices.SortFunc(w.order, func(a, b *groupRoute) int {
		if a.rank != 0 && b.rank != 0 {
			return cmp.Compare(a.rank, b.rank)
		}
		return cmp.Or(cmp.Compare(b.rank, a.rank), a.group.created.Compare(b.group.created), strings.Compare(a.ID, b.ID))
	})
	w.unordered, w.ranked = false, w.synced
	if !w.synced {
		return // older containers may still turn up
	}
	for _, r := range w.order {
		if r.rank == 0 {
			w.lastRank++
			r.rank = w.lastRank
		}
	}
}

// problems returns all there is to complain about, in a stable order.
func (w *watcher) problems() []label.Problem {
	var all []label.Problem
	if w.trouble != (label.Problem{}) {
		all = append(all, w.trouble)
	} else if w.cfg.Engine != nil && !w.settled {
		all = append(all, label.Problem{
			Source: "Docker engine " + w.host, Why: "has not answered yet, so that no container is known",
			Fix: "see whether docker ps answers on that machine",
		})
	}
	all = append(all, w.serving.problems...)
	rest := w.bundles.problems()
	for _, e := range w.entries {
		if e.problem != (label.Problem{}) {
			rest = append(rest, e.problem)
		}
	}
	for _, g := range w.groups {
		rest = append(rest, g.problems...)
	}
	slices.SortFunc(rest, func(a, b label.Problem) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Key, b.Key), strings.Compare(a.Why, b.Why))
	})
	return append(all, rest...)
}

// report logs which routes of t are new or gone. Its Problems are for whoever
// gets the table to log.
func (w *watcher) report(t *route.Table) {
	routes := t.Routes()
	if !w.emitted {
		w.log.Info("routes are ready", "routes", len(routes), "problems", len(t.Problems()))
	} else if !slices.EqualFunc(routes, w.served, sameID) {
		w.reportRoutes(routes)
	}
	w.served = routes
}

func sameID(a, b *route.Route) bool { return a.ID == b.ID }

// reportRoutes logs which routes came and went.
func (w *watcher) reportRoutes(routes []*route.Route) {
	before := make(map[string]bool, len(w.served))
	for _, r := range w.served {
		before[r.ID] = true
	}
	for _, r := range routes {
		if !before[r.ID] {
			w.log.Info("route added", "route", r.Name, "hosts", r.Hosts, "path", r.Path, "from", r.Source)
		}
		delete(before, r.ID)
	}
	for _, r := range w.served {
		if before[r.ID] {
			w.log.Info("route removed", "route", r.Name, "hosts", r.Hosts, "path", r.Path, "from", r.Source)
		}
	}
}
