package admin

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"portway/label"
	"portway/route"
)

// view is a table, prepared for questions. It is never changed.
type view struct {
	*route.Table
	byID     map[string]*route.Route
	problems map[string][]Problem // by source, without the line
	order    map[string]int       // of options, as middleware has them
	parts    map[[2]string]part   // of containers, by the IDs of route and upstream
}

// part is a Part with whose it is.
type part struct {
	source *route.Source
	part   *route.Part
}

func newView(t *route.Table) *view {
	v := &view{Table: t, byID: make(map[string]*route.Route, len(t.Routes())), problems: make(map[string][]Problem), parts: make(map[[2]string]part)}
	for _, r := range t.Routes() {
		v.byID[r.ID] = r
		if v.order == nil && len(r.Middleware) > 0 { // all routes have the same
			v.order = make(map[string]int)
			for i, o := range label.Describe(blank(r.Middleware)...).Options() {
				v.order[o.Name] = i + 1
			}
		}
	}
	for _, p := range t.Problems() {
		source := withoutLine(p.Source)
		v.problems[source] = append(v.problems[source], problem(p))
	}
	for _, x := range t.Sources() {
		for i := range x.Parts {
			if p := &x.Parts[i]; p.Upstream != "" {
				v.parts[[2]string{p.RouteID, p.Upstream}] = part{x, p}
			}
		}
	}
	return v
}

// blank makes new binders of the same kinds. To describe those of a route would set
// their fields to defaults, while the proxy reads them.
func blank(binders []label.Binder) []label.Binder {
	all := make([]label.Binder, len(binders))
	for i, b := range binders {
		all[i] = reflect.New(reflect.TypeOf(b).Elem()).Interface().(label.Binder)
	}
	return all
}

// withoutLine takes the line off the source of a Problem with a file.
func withoutLine(source string) string {
	if i := strings.LastIndexByte(source, ':'); i > 0 && i < len(source)-1 && strings.Trim(source[i+1:], "0123456789") == "" {
		return source[:i]
	}
	return source
}

// problemsOf lists those of a source; never nil.
func (v *view) problemsOf(source string) []Problem {
	return append([]Problem{}, v.problems[withoutLine(source)]...)
}

// Routes lists all routes with what is known about them, in the order in which they
// have a right to their hosts.
func (s *Server) Routes() []RouteDetail {
	v := s.view.Load()
	if v == nil {
		return []RouteDetail{}
	}
	certificates := s.certificates()
	all := make([]RouteDetail, 0, len(v.byID))
	for _, r := range v.Routes() {
		all = append(all, s.detail(v, r, certificates))
	}
	return all
}

// Route gives one route by its ID.
func (s *Server) Route(id string) (RouteDetail, bool) {
	v := s.view.Load()
	if v == nil || v.byID[id] == nil {
		return RouteDetail{}, false
	}
	return s.detail(v, v.byID[id], s.certificates()), true
}

// certificates gives all by name.
func (s *Server) certificates() map[string]Certificate {
	all := make(map[string]Certificate)
	if s.cfg.Certificates != nil {
		for _, c := range s.cfg.Certificates() {
			all[c.Name] = c
		}
	}
	return all
}

func (s *Server) detail(v *view, r *route.Route, certificates map[string]Certificate) RouteDetail {
	d := RouteDetail{
		Route: s.describe(r), PathKind: cmp.Or(string(r.PathKind), "prefix"), Criteria: r.Match.String(), Priority: r.Priority,
		Role: string(r.Role), Share: r.Share, Members: []Member{}, Chain: v.chain(r), Settings: describeSettings(r.Settings),
		Problems: v.problemsOf(r.Source), Certificates: []Certificate{}, Failures: s.failures.of(r.ID),
	}
	for _, m := range r.Members {
		d.Members = append(d.Members, Member{ID: m.Route.ID, Name: m.Route.Name, Role: string(m.Role), Share: m.Share})
	}
	for _, host := range r.Hosts {
		if c, ok := certificates[host]; ok && r.HTTPS != route.Off {
			d.Certificates = append(d.Certificates, c)
		}
	}
	return d
}

// chain lists what is set for a route beyond where it is found, in the order in which
// requests meet it.
func (v *view) chain(r *route.Route) []Step {
	var set []route.Setting
	for _, x := range r.Settings {
		if v.order[x.Option] > 0 {
			set = append(set, x)
		}
	}
	slices.SortFunc(set, func(a, b route.Setting) int { return cmp.Compare(v.order[a.Option], v.order[b.Option]) })
	steps := []Step{}
	for _, x := range set {
		name, _, _ := strings.Cut(x.Option, ".")
		if n := len(steps); n == 0 || steps[n-1].Name != name {
			steps = append(steps, Step{Name: name})
		}
		last := &steps[len(steps)-1]
		last.Settings = append(last.Settings, Setting(x))
	}
	return steps
}

// describe tells about a route what the status has.
func (s *Server) describe(r *route.Route) Route {
	d := Route{ID: r.ID, Name: r.Name, Source: r.Source, Hosts: r.Hosts, Path: r.Path, HTTPS: string(r.HTTPS), Upstreams: []Upstream{}, Cache: s.counts(r.ID)}
	for _, u := range s.replicas(r) {
		d.Upstreams = append(d.Upstreams, Upstream{
			ID: u.ID, Name: u.Name, Address: u.Address, Scheme: string(u.Scheme), State: u.State.String(), Reason: u.Reason,
			InFlight: u.InFlight, LeftOut: u.LeftOut, Probe: s.prober.result(u.Upstream),
		})
	}
	return d
}

// replicas are as the proxy has them, or else as in the table.
func (s *Server) replicas(r *route.Route) []Replica {
	if s.cfg.Replicas != nil {
		return s.cfg.Replicas(r)
	}
	list := make([]Replica, len(r.Upstreams))
	for i, u := range r.Upstreams {
		list[i].Upstream = u
	}
	return list
}

// Sources lists all containers and static files that discovery saw, sorted by name.
func (s *Server) Sources() []Source {
	v := s.view.Load()
	all := []Source{}
	if v == nil {
		return all
	}
	for _, x := range v.Sources() {
		all = append(all, v.source(x))
	}
	slices.SortFunc(all, func(a, b Source) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return all
}

func (v *view) source(x *route.Source) Source {
	d := Source{
		ID: x.ID, Kind: string(x.Kind), Name: x.Name, Source: x.Source, Service: x.Service, Reason: x.Reason, Left: x.Left,
		Labels: describeSettings(x.Settings), Routes: []Part{}, Problems: v.problemsOf(x.Source),
		Mode: x.Mode, Networks: []Network{}, Exposed: append([]int{}, x.Exposed...), Published: append([]string{}, x.Published...),
		Served: len(x.Parts) > 0,
	}
	if x.Kind == route.Container {
		d.State = x.State.String()
	}
	for _, n := range x.Networks {
		d.Networks = append(d.Networks, Network(n))
	}
	for _, p := range x.Parts {
		served := v.byID[p.RouteID] != nil
		d.Served = d.Served && served
		d.Routes = append(d.Routes, Part{Name: p.Name, RouteID: p.RouteID, Served: served, Settings: describeSettings(p.Settings), Choice: Choice(p.Choice)})
	}
	return d
}
