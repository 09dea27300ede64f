package discovery

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"portway/label"
	"portway/route"
)

// publish emits a table if it would differ from the last.
func (w *watcher) publish() {
	if w.listed && len(w.inspections.pending) == 0 {
		w.synced = true
	}
	w.lookAround()
	for key := range w.dirtyGroups {
		if g := w.groups[key]; g != nil && g.rebuild(w) {
			w.dirty = true
		}
	}
	clear(w.dirtyGroups)
	if w.emitted && !w.dirty {
		return
	}
	t := route.NewTable(w.routes(), w.problems())
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
// hosts: static ones, since somebody wrote them for this very purpose, then
// those of containers by who was there first: at the start by the age of the
// containers, and from then on as it was.
func (w *watcher) routes() []*route.Route {
	type candidate struct {
		*route.Route
		rank    int
		created time.Time
	}
	if !w.synced {
		clear(w.ranks) // older containers may still turn up
	}
	newcomer := w.nextRank
	var all []candidate
	there := make(map[string]bool, len(w.ranks))
	for _, g := range w.groups {
		for _, r := range g.routes {
			rank, known := w.ranks[r.ID]
			if !known {
				rank = newcomer
			}
			all = append(all, candidate{r.Route, rank, g.created})
			there[r.ID] = true
		}
	}
	for id := range w.ranks {
		if !there[id] {
			delete(w.ranks, id)
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), a.created.Compare(b.created), strings.Compare(a.ID, b.ID))
	})
	var routes []*route.Route
	if w.static != nil {
		routes = append(routes, w.static.routes...)
	}
	for _, c := range all {
		if c.rank == newcomer {
			w.ranks[c.ID] = w.nextRank
			w.nextRank++
		}
		routes = append(routes, c.Route)
	}
	return routes
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
	if w.static != nil {
		all = append(all, w.static.problems...)
	}
	var rest []label.Problem
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

// report logs what is new in t.
func (w *watcher) report(t *route.Table) {
	problems := make(map[label.Problem]bool)
	for _, p := range t.Problems() {
		problems[p] = true
		if !w.reported[p] {
			w.log.Warn(p.String())
		}
	}
	w.reported = problems
	served := make(map[string]bool)
	for _, r := range t.Routes() {
		served[r.ID] = true
		if w.emitted && !w.served[r.ID] {
			w.log.Info("route added", "route", r.Name, "hosts", r.Hosts, "path", r.Path, "from", r.Source)
		}
	}
	for id := range w.served {
		if !served[id] {
			w.log.Info("route removed", "route", id)
		}
	}
	w.served = served
	if !w.emitted {
		w.log.Info("routes are ready", "routes", len(served), "problems", len(problems))
	}
}
