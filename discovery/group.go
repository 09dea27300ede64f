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

// group is the containers that share routes: the replicas of a service, or one
// container alone. Its routes are made anew only when one of them changes.
type group struct {
	key, title string
	members    map[string]*entry

	routes   []*groupRoute // by name
	problems []label.Problem
	created  time.Time // of the oldest member
}

// groupRoute is a route of a group. It stays the same as long as there is a
// route of that name, while the route it holds is replaced when it changes.
type groupRoute struct {
	*route.Route
	group *group
	from  *route.Route // what Route was made from, as parsed; the same pointer for the same labels
	rank  int          // see watcher.order; 0 until it has one
}

// replica is one member's part in one route.
type replica struct {
	*entry
	parsed   *route.Parsed
	upstream route.Upstream
}

// rebuild makes the group's routes and problems, and notes whether any differs
// from before. A route that does not differ stays the same pointer.
func (g *group) rebuild(w *watcher) {
	members := make([]*entry, 0, len(g.members))
	for _, e := range g.members {
		members = append(members, e)
	}
	slices.SortFunc(members, func(a, b *entry) int {
		return cmp.Or(b.snap.created.Compare(a.snap.created), strings.Compare(a.id, b.id))
	})
	g.created = members[len(members)-1].snap.created

	var problems []label.Problem
	replicas := make(map[string][]replica)
	var names []string
	for _, e := range members {
		w.parse(e)
		problems = append(problems, e.snap.written.Problems...)
		var parts []route.Part
		for i := range e.routes {
			parsed := &e.routes[i]
			problems = append(problems, parsed.Problems...)
			if parsed.Route == nil {
				parts = append(parts, route.Part{Name: parsed.Name, Settings: parsed.Settings})
				continue
			}
			if _, known := replicas[parsed.Name]; !known {
				names = append(names, parsed.Name)
			}
			upstream, choice, t := w.upstream(e, parsed)
			if t != nil {
				problems = append(problems, t.problem(sourceOf(e.snap.name), parsed.Name))
			}
			replicas[parsed.Name] = append(replicas[parsed.Name], replica{e, parsed, upstream})
			parts = append(parts, route.Part{Name: parsed.Name, RouteID: g.routeID(parsed.Name), Settings: parsed.Settings, Upstream: upstream.ID, Choice: choice})
		}
		w.saw(e, parts)
	}
	slices.Sort(names)
	routes := make([]*groupRoute, 0, len(names))
	for _, name := range names {
		id := g.routeID(name)
		i := slices.IndexFunc(g.routes, func(r *groupRoute) bool { return r.ID == id })
		if i < 0 {
			i = len(g.routes)
			g.routes = append(g.routes, &groupRoute{Route: &route.Route{ID: id}, group: g})
			w.unordered = true
		}
		r := g.routes[i]
		changed, disagree := r.update(name, replicas[name])
		w.dirty = w.dirty || changed
		routes = append(routes, r)
		problems = append(problems, disagree...)
	}
	if len(routes) != len(g.routes) || !slices.Equal(problems, g.problems) {
		w.dirty = true
	}
	w.unordered = w.unordered || len(routes) != len(g.routes)
	g.routes, g.problems = routes, problems
}

// update makes the route anew of its replicas, which come with the newest first,
// if it changed.
//
// Replicas whose labels differ, as while a service is being replaced by one with
// other labels, cannot serve one route together: the newest labels that have a
// replica which is ready win, and only replicas with these serve. So a version
// that never gets ready leaves the one before in force.
func (r *groupRoute) update(name string, all []replica) (changed bool, problems []label.Problem) {
	best, score := all[0], -1
	for _, x := range all {
		if s := readiness(x.upstream.State); s > score {
			best, score = x, s
		}
	}
	var upstreams []route.Upstream
	var from *route.Route
	for _, x := range all {
		switch {
		case x.snap.signature == best.snap.signature:
			upstreams = append(upstreams, x.upstream)
			if from == nil {
				from = x.parsed.Route // the newest
			}
		case x.upstream.State == route.Ready:
			problems = append(problems, label.Problem{
				Source: sourceOf(x.snap.name),
				Why:    fmt.Sprintf("has other labels for Portway than %s of the same service, which is newer, and so gets no requests", sourceOf(best.snap.name)),
				Fix:    "create it anew so that all replicas have the same labels",
			})
		}
	}
	slices.SortFunc(upstreams, func(a, b route.Upstream) int { return strings.Compare(a.ID, b.ID) })
	if r.from == from && slices.Equal(r.Upstreams, upstreams) {
		return false, problems
	}
	made := *from
	made.ID, made.Name, made.Upstreams = r.ID, r.group.title, upstreams
	if name != "" {
		made.Name += " (" + name + ")"
	}
	r.Route, r.from = &made, from
	return true, problems
}

// readiness orders the states of replicas by how much they say for their version.
func readiness(s route.State) int {
	switch s {
	case route.Ready:
		return 2
	case route.Stopped, route.Stopping:
		return 0
	}
	return 1
}

func (g *group) routeID(name string) string {
	switch name {
	case "":
		name = "default"
	case "default":
		name = "default." // a named route, which is not the one without a name
	}
	return g.key + "/" + name
}

// upstream makes a replica of a container.
func (w *watcher) upstream(e *entry, p *route.Parsed) (u route.Upstream, c route.Choice, t *trouble) {
	u = route.Upstream{Name: e.snap.name, Network: "tcp", Scheme: p.Options.Scheme}
	u.State, u.Reason = e.state()
	a, t := w.attachments(e)
	if u.State == route.Stopped {
		// It has no address, and it is too early to say what it lacks.
		c.Port, c.PortWhy, _ = a.port(p.Options.Port)
		u.ID = fmt.Sprintf("%s:%d", e.id, c.Port)
		return u, c, nil
	}
	if t == nil {
		c, t = w.vantage.address(a, e.snap.project, p.Options)
	}
	u.Address = c.Address
	u.ID = fmt.Sprintf("%s:%d", e.id, c.Port)
	if t == nil {
		return u, c, nil
	}
	c.Why = t.why
	if u.State == route.Ready {
		u.State, u.Reason = route.Unhealthy, t.reason(p.Name)
	} else if t.passing {
		t = nil
	}
	return u, c, t
}

// attachments tells where a container can be reached: by its own networks, or
// those of the container whose network it uses.
func (w *watcher) attachments(e *entry) (attachments, *trouble) {
	a := e.snap.net
	target, ok := strings.CutPrefix(a.mode, networkOf)
	if !ok {
		return a, nil
	}
	other := w.entries[target]
	if other == nil || other.snap == nil {
		return a, &trouble{why: fmt.Sprintf("uses the network of container %.12s, which is gone", target), fix: "create it anew, so that it uses the network of the present one"}
	}
	exposed := a.exposed
	a = other.snap.net
	if strings.HasPrefix(a.mode, networkOf) {
		return a, &trouble{why: fmt.Sprintf("uses the network of %s, which has none of its own either", sourceOf(other.snap.name)), fix: "use the network of one that has"}
	}
	if len(exposed) > 0 {
		a.exposed = exposed
	}
	return a, nil
}

// networkOf starts the network mode of a container that uses another's network.
const networkOf = "container:"
