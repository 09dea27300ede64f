package dashboard

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"portway/admin"
)

func (d *Dashboard) notFound(w http.ResponseWriter, r *http.Request) {
	d.renderStatus(w, r, http.StatusNotFound, "not-found", page{Title: "Not found"})
}

// overviewPage is what the overview shows.
type overviewPage struct {
	Status   admin.Status
	Counted  bool
	Now      numbers
	Rejected int // sources
	Recent   []admin.Event
}

func (d *Dashboard) overview(w http.ResponseWriter, r *http.Request) {
	p := overviewPage{Status: d.cfg.Admin.Status(), Counted: d.cfg.Traffic != nil, Now: d.numbers(), Recent: d.cfg.Admin.History()}
	p.Recent = p.Recent[:min(len(p.Recent), 8)]
	for _, x := range d.cfg.Admin.Sources() {
		if !x.Served && x.Left == "" {
			p.Rejected++
		}
	}
	d.render(w, r, "overview", page{Title: "Overview", Here: "/", Data: p, Stream: "/live?numbers=1"})
}

// routesPage is the list of routes.
type routesPage struct {
	Query  string
	Routes []admin.RouteDetail
	All    int
}

func (d *Dashboard) routes(w http.ResponseWriter, r *http.Request) {
	p := routesPage{Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	all := d.cfg.Admin.Routes()
	p.All = len(all)
	for _, x := range all {
		if matches(x, p.Query) {
			p.Routes = append(p.Routes, x)
		}
	}
	d.render(w, r, "routes", page{Title: "Routes", Here: "/routes", Data: p, Stream: "/live"})
}

// matches tells whether each word of a search is somewhere in a route.
func matches(r admin.RouteDetail, query string) bool {
	parts := append([]string{r.Name, r.Source, r.Path, r.Criteria, replicasOf(r).Text, certificateOf(r).Text}, r.Hosts...)
	for _, u := range r.Upstreams {
		parts = append(parts, u.Name, u.Address, u.State)
	}
	for _, s := range r.Chain {
		parts = append(parts, s.Name)
	}
	text := strings.ToLower(strings.Join(parts, "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(query)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// routePage is all about one route.
type routePage struct {
	admin.RouteDetail
	Counted bool
	Totals  totals
	Chart   chart
}

func (d *Dashboard) route(w http.ResponseWriter, r *http.Request) {
	x, ok := d.cfg.Admin.Route(r.PathValue("id"))
	if !ok {
		d.renderStatus(w, r, http.StatusNotFound, "not-found", page{
			Title: "No such route", Here: "/routes", Data: "There is no such route now. Its container may be gone, or its labels say something else.", Stream: "/live",
		})
		return
	}
	t, requests, failed := d.sampler.route(x.Name)
	d.render(w, r, "route", page{
		Title: x.Name, Here: "/routes", Stream: "/live?route=" + url.QueryEscape(x.Name),
		Data: routePage{RouteDetail: x, Counted: d.cfg.Traffic != nil, Totals: totalsOf(t), Chart: newChart(requests, failed)},
	})
}

// containersPage is all that discovery saw.
type containersPage struct {
	Sources []seen // those with something wrong first
	Other   []admin.Problem
}

// seen is a source with what it is for its routes.
type seen struct {
	admin.Source
	Replicas []admin.Upstream
}

func (d *Dashboard) containers(w http.ResponseWriter, r *http.Request) {
	st, sources := d.cfg.Admin.Status(), d.cfg.Admin.Sources()
	p := containersPage{Sources: d.seen(sources, st.Routes), Other: otherProblems(st.Problems, sources)}
	slices.SortStableFunc(p.Sources, func(a, b seen) int { return cmp.Compare(a.rank(), b.rank()) })
	d.render(w, r, "containers", page{Title: "Containers", Here: "/containers", Data: p, Stream: "/live"})
}

// seen joins sources with the replicas that they are.
func (d *Dashboard) seen(sources []admin.Source, routes []admin.Route) []seen {
	byID := make(map[string][]admin.Upstream, len(routes))
	for _, r := range routes {
		byID[r.ID] = r.Upstreams
	}
	all := make([]seen, len(sources))
	for i, x := range sources {
		all[i].Source = x
		told := make(map[string]bool)
		for _, p := range x.Routes {
			for _, u := range byID[p.RouteID] {
				if (x.Kind != "container" || u.Name == x.Name) && !told[u.ID] {
					told[u.ID] = true
					all[i].Replicas = append(all[i].Replicas, u)
				}
			}
		}
	}
	return all
}

// rank is where a source stands in the list.
func (x seen) rank() int {
	switch {
	case x.Left != "":
		return 4
	case !x.Served:
		return 0
	case len(x.Problems) > 0:
		return 1
	}
	for _, u := range x.Replicas {
		if describeUpstream(u).Kind != "good" {
			return 2
		}
	}
	return 3
}

// otherProblems are those that no source has.
func otherProblems(all []admin.Problem, sources []admin.Source) []admin.Problem {
	told := make(map[admin.Problem]bool)
	for _, x := range sources {
		for _, p := range x.Problems {
			told[p] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p admin.Problem) bool { return told[p] })
}

// certificatesPage is all certificates, on one time line.
type certificatesPage struct {
	Certificates []timed
	Days         int // that the line is long
}

// timed is a certificate with its places on the line, in per mille.
type timed struct {
	admin.Certificate
	Renewal, End int // -1: not known, or not on the line
}

func (d *Dashboard) certificates(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	all := d.cfg.Admin.Status().Certificates
	slices.SortStableFunc(all, func(a, b admin.Certificate) int {
		bad := func(c admin.Certificate) int {
			if c.State == "valid" {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(bad(a), bad(b)), strings.Compare(a.Name, b.Name))
	})
	p := certificatesPage{Days: 7}
	for _, c := range all {
		if c.NotAfter != nil {
			p.Days = max(p.Days, min(int(c.NotAfter.Sub(now)/(24*time.Hour))+1, 400))
		}
	}
	place := func(t *time.Time) int {
		if t == nil {
			return -1
		}
		at := int(t.Sub(now) * 1000 / (time.Duration(p.Days) * 24 * time.Hour))
		return max(0, min(at, 1000))
	}
	for _, c := range all {
		p.Certificates = append(p.Certificates, timed{c, place(c.NextRenewal), place(c.NotAfter)})
	}
	d.render(w, r, "certificates", page{Title: "Certificates", Here: "/certificates", Data: p, Stream: "/live"})
}

// explainPage is a question, and what is known about it.
type explainPage struct {
	Query, Method, Header, Client string
	Asked                         bool
	Wrong                         string
	Explanation                   admin.Explanation
	Sources                       []seen // of the explanation
	Hops                          []admin.Hop
	Tried                         bool
}

// ask reads the question and finds the answer.
func (d *Dashboard) ask(v url.Values) (p explainPage) {
	p.Query, p.Method = strings.TrimSpace(cmp.Or(v.Get("q"), v.Get("url"))), cmp.Or(strings.ToUpper(strings.TrimSpace(v.Get("method"))), http.MethodGet)
	p.Header, p.Client = v.Get("header"), strings.TrimSpace(v.Get("client"))
	if p.Query == "" {
		return p
	}
	p.Asked = true
	q := admin.Question{What: p.Query, Method: p.Method}
	for line := range strings.Lines(p.Header) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, text, ok := strings.Cut(line, ":")
		if !ok {
			p.Wrong = line + " is no header field: write Name: value, one in each line"
			return p
		}
		q.Header = append(q.Header, [2]string{strings.TrimSpace(name), strings.TrimSpace(text)})
	}
	var err error
	if p.Client != "" {
		if q.Client, err = netip.ParseAddr(p.Client); err != nil {
			p.Wrong = p.Client + " is no address of a client: write for example 192.168.1.10"
			return p
		}
	}
	if p.Explanation, err = d.cfg.Admin.Explain(q); err != nil {
		p.Wrong = err.Error()
	}
	if len(p.Explanation.Sources) > 0 {
		p.Sources = d.seen(p.Explanation.Sources, d.cfg.Admin.Status().Routes)
	}
	return p
}

func (d *Dashboard) explain(w http.ResponseWriter, r *http.Request) {
	d.render(w, r, "explain", page{Title: "Explain", Here: "/explain", Data: d.ask(r.URL.Query()), Stream: "/live"})
}

// try asks the replicas of the route that a request goes to.
func (d *Dashboard) try(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form did not arrive", http.StatusBadRequest)
		return
	}
	p := d.ask(r.PostForm)
	if t := p.Explanation.Request; p.Wrong == "" && t != nil && t.Route != nil {
		u, err := url.Parse(t.URL)
		if err == nil {
			p.Hops, err = d.cfg.Admin.Try(r.Context(), t.Route.ID, p.Method, u.Host, u.RequestURI())
		}
		if p.Tried = err == nil; err != nil {
			p.Wrong = err.Error()
		}
	}
	d.render(w, r, "explain", page{Title: "Explain", Here: "/explain", Data: p, Stream: "/live"})
}

func (d *Dashboard) history(w http.ResponseWriter, r *http.Request) {
	d.render(w, r, "history", page{Title: "History", Here: "/history", Data: d.cfg.Admin.History(), Stream: "/live"})
}
