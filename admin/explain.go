package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"portway/label"
	"portway/route"
)

// Question is what Explain is asked: about a request, or about a container or file.
type Question struct {
	URL    string      // https://app.example.com/path?query, or a host alone
	Method string      // empty: GET
	Header [][2]string // with cookies
	Client netip.Addr  // the zero Addr: not known

	Source string // name of a container, beginning of its ID, its service, or a file; instead of URL
	What   string // either of the two, for people; instead of both
}

// Explanation is what is known about a Question.
type Explanation struct {
	Asked    string    `json:"asked"`
	Served   bool      `json:"served"`
	Verdict  string    `json:"verdict"` // one sentence
	Fixes    []string  `json:"fixes"`   // what to do, the most promising first
	Request  *Trace    `json:"request,omitempty"`
	Sources  []Source  `json:"sources"`  // that the question is about, or that are why there is no route
	Failures []Failure `json:"failures"` // the last ones, newest first
}

// Trace tells which way a request goes.
type Trace struct {
	URL         string       `json:"url"`
	Method      string       `json:"method"`
	Host        string       `json:"host"`      // as it is looked for
	FoundBy     string       `json:"found_by"`  // the host of the table that fits: a name, "*." and a name, or "~" for patterns
	Tried       []Try        `json:"tried"`     // routes of the host, in order; empty if no route has the host
	Ambiguous   bool         `json:"ambiguous"` // servers read the path in different ways, so that nobody gets the request
	Route       *RouteDetail `json:"route,omitempty"`
	Certificate *Certificate `json:"certificate,omitempty"`
}

// Try is a route that a request could go to.
type Try struct {
	RouteID string `json:"route_id"`
	Route   string `json:"route"`
	Source  string `json:"source"`
	Path    string `json:"path"`
	Chosen  bool   `json:"chosen"`
	Misses  []Miss `json:"misses"` // why not this one; empty: it fits
}

// Miss is something that a route asks for, and a request does not have.
type Miss struct {
	Option string `json:"option"`
	Wants  string `json:"wants"`
	Got    string `json:"got"`
}

// errNoTable is told before there is one.
var errNoTable = errors.New("Portway is starting: the routes are not read yet") //nolint:staticcheck // a sentence for people

// Explain answers q. The error is about the question.
func (s *Server) Explain(q Question) (Explanation, error) {
	v := s.view.Load()
	if v == nil {
		return Explanation{Verdict: errNoTable.Error(), Fixes: []string{}, Sources: []Source{}, Failures: []Failure{}}, nil
	}
	if q.What != "" {
		q.URL, q.Source = v.meant(q.What)
	}
	if q.Source != "" {
		return s.explainSource(v, q.Source)
	}
	u, err := parseURL(q.URL)
	if err != nil {
		return Explanation{}, err
	}
	return s.explainRequest(v, u, q), nil
}

// parseURL takes a URL, or a host with or without a path.
func parseURL(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("not a URL of a site: write http:// or https://, not %s://", u.Scheme)
	case u.Host == "":
		return nil, errors.New("not a URL of a site: it names no host")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.Fragment, u.User = "", nil
	return u, nil
}

// fields are those of a question, as the proxy has a request's.
type fields [][2]string

var _ route.Fields = fields(nil)

// Find is part of route.Fields.
func (f fields) Find(name string, from int) (value []byte, next int) {
	for i := from; i < len(f); i++ {
		if strings.EqualFold(f[i][0], name) {
			return []byte(f[i][1]), i + 1
		}
	}
	return nil, -1
}

func (s *Server) explainRequest(v *view, u *url.URL, q Question) Explanation {
	method := cmp.Or(q.Method, "GET")
	x := v.Explain(&route.Request{
		Host: []byte(u.Host), Path: []byte(u.EscapedPath()), Query: []byte(u.RawQuery), Method: []byte(method),
		Client: q.Client, Fields: fields(q.Header), Places: s.cfg.Places,
	})
	t := &Trace{URL: u.String(), Method: method, Host: x.Host, FoundBy: x.By, Tried: []Try{}, Ambiguous: x.Doubt}
	e := Explanation{Asked: u.String(), Request: t, Fixes: []string{}, Sources: []Source{}, Failures: []Failure{}}
	for _, try := range x.Tried {
		d := Try{RouteID: try.Route.ID, Route: try.Route.Name, Source: try.Route.Source, Path: try.Route.Path, Chosen: try.Route == x.Route, Misses: []Miss{}}
		for _, m := range try.Misses {
			d.Misses = append(d.Misses, Miss(m))
		}
		t.Tried = append(t.Tried, d)
	}
	switch {
	case x.Route != nil:
		s.judge(v, u, !strings.Contains(q.URL, "://"), x.Route, &e)
	case x.Doubt:
		e.Verdict = "404: servers read this path in ways that lead to different routes, so that nobody gets it"
		e.Fixes = append(e.Fixes, "write the path without escapes, //, ; and dots")
	case x.Known:
		e.Verdict = "404: the host is known, but none of its routes fits"
		for _, try := range t.Tried {
			if len(try.Misses) == 1 { // a near miss
				m := try.Misses[0]
				e.Fixes = append(e.Fixes, fmt.Sprintf("%s would get it, if %s were %s", try.Route, m.Option, m.Wants))
			}
		}
		e.Failures = s.failures.of("")
	default:
		s.noHost(v, x.Host, &e)
	}
	return e
}

// noHost looks for who should have a host that no route has.
func (s *Server) noHost(v *view, host string, e *Explanation) {
	e.Verdict = "404: no route has the host " + host
	for _, x := range v.Sources() {
		if !asksFor(x, host) {
			continue
		}
		d := v.source(x)
		e.Sources = append(e.Sources, d)
		e.Verdict = fmt.Sprintf("404: %s asks for the host %s, but is not served", x.Source, host)
		if x.Left != "" {
			e.Verdict += ", since " + x.Left
		}
		for _, p := range d.Problems {
			e.Fixes = append(e.Fixes, sentence(p))
		}
	}
	if near := v.NearHost(host); near != "" {
		e.Fixes = append(e.Fixes, "did you mean "+near+"?")
	}
	if len(e.Sources) == 0 {
		for _, x := range v.Sources() { // a misspelt label may be the one
			if d := v.source(x); !d.Served && len(d.Problems) > 0 && d.Left == "" {
				e.Sources = append(e.Sources, d)
			}
		}
		if n := len(e.Sources); n > 0 {
			e.Fixes = append(e.Fixes, fmt.Sprintf("%s not served for a mistake, and may be meant: %s", count(n, "source is", "sources are"), e.Sources[0].Source+": "+sentenceOf(e.Sources[0])))
		} else {
			e.Fixes = append(e.Fixes, "give a container the label "+label.Key("", "host")+": "+host)
		}
	}
	e.Failures = slices.DeleteFunc(s.failures.of(""), func(f Failure) bool { return !strings.EqualFold(strings.Split(f.Host, ":")[0], host) })
}

func sentenceOf(x Source) string {
	_, text, _ := strings.Cut(sentence(x.Problems[0]), ": ")
	return text
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// asksFor tells whether a source says a host, in a label that may be misspelt otherwise.
func asksFor(x *route.Source, host string) bool {
	says := func(list []route.Setting) bool {
		return slices.ContainsFunc(list, func(s route.Setting) bool {
			return s.Option == "host" && slices.ContainsFunc(strings.Split(s.Value, ","), func(h string) bool {
				clean, err := route.CompileHost(h)
				return err == nil && clean == host || strings.EqualFold(strings.TrimSpace(h), host)
			})
		})
	}
	return says(x.Settings) || slices.ContainsFunc(x.Parts, func(p route.Part) bool { return says(p.Settings) })
}

// judge says what becomes of a request that has a route. bare says that nobody asked for
// the scheme.
func (s *Server) judge(v *view, u *url.URL, bare bool, r *route.Route, e *Explanation) {
	certificates := s.certificates()
	d := s.detail(v, r, certificates)
	t := e.Request
	t.Route, e.Failures = &d, d.Failures
	if x := slices.IndexFunc(v.Sources(), func(x *route.Source) bool { return x.Source == withoutLine(r.Source) }); x >= 0 {
		e.Sources = append(e.Sources, v.source(v.Sources()[x]))
	}
	if c, ok := certificateFor(certificates, t.Host); ok && r.HTTPS != route.Off {
		t.Certificate = &c
	}
	for _, p := range d.Problems {
		e.Fixes = append(e.Fixes, sentence(p))
	}
	if r.HTTPS != route.Off && u.Scheme == "http" {
		if r.HTTPS == route.Only {
			e.Verdict = "404: the route is served by HTTPS only, as its option https says"
			e.Fixes = append(e.Fixes, "ask for https://"+u.Host+u.Path)
			return
		}
		e.Served, e.Verdict = true, "308: a redirect to https://"+u.Hostname()+u.EscapedPath()+", as its option https says"
		return
	}
	if r.HTTPS == route.Off && bare {
		u.Scheme = "http"
		t.URL, e.Asked = u.String(), u.String()
	}
	if r.HTTPS == route.Off && u.Scheme == "https" {
		e.Fixes = append(e.Fixes, "the route has https: off, so no certificate is obtained for it; ask by http://")
	}
	if c := t.Certificate; c != nil && c.State != "valid" && c.NotAfter == nil {
		e.Verdict = "503: " + d.Name + " gets it, but its certificate is not there yet (" + c.State + ")"
		if c.LastError != "" {
			e.Fixes = append([]string{c.LastError}, e.Fixes...)
		}
		return
	}
	s.judgeReplicas(&d, e)
}

// certificateFor finds the certificate of a host, perhaps that of a wildcard.
func certificateFor(all map[string]Certificate, host string) (Certificate, bool) {
	if c, ok := all[host]; ok {
		return c, true
	}
	_, rest, _ := strings.Cut(host, ".")
	c, ok := all["*."+rest]
	return c, ok
}

// answering are the options whose routes need no replica.
var answering = []string{"respond", "maintenance", "redirect", "redirect-host"}

// judgeReplicas says whether there is a replica that answers.
func (s *Server) judgeReplicas(d *RouteDetail, e *Explanation) {
	if i := slices.IndexFunc(d.Chain, func(x Step) bool { return slices.Contains(answering, x.Name) }); i >= 0 {
		e.Served, e.Verdict = true, d.Name+" gets it, and may answer it by its option "+d.Chain[i].Name
		return
	}
	var ready, answer int
	var reasons []string
	replicas := slices.Clone(d.Upstreams)
	for _, m := range d.Members {
		if other, ok := s.Route(m.ID); ok && m.Role != string(route.Mirror) {
			replicas = append(replicas, other.Upstreams...)
		}
	}
	for _, u := range replicas {
		switch {
		case u.State != route.Ready.String():
			reasons = append(reasons, strings.TrimSpace(u.Name+" is "+u.State+": "+u.Reason))
			e.Fixes = append(e.Fixes, stateFixes(u)...)
			continue
		case u.Probe != nil && !u.Probe.Answers:
			reasons = append(reasons, u.Name+": "+u.Probe.Error)
		case u.LeftOut != "":
			reasons = append(reasons, u.Name+" is left out: "+u.LeftOut)
		default:
			answer++
		}
		ready++
		if u.Probe != nil && u.Probe.Hint != "" {
			e.Fixes = append(e.Fixes, u.Name+": "+u.Probe.Hint)
		}
	}
	switch {
	case answer > 0:
		e.Served, e.Verdict = true, d.Name+" gets it, and "+count(answer, "replica answers", "replicas answer")
		if len(reasons) > 0 {
			e.Verdict += "; " + strings.Join(reasons, "; ")
		}
	case ready > 0:
		e.Verdict = "502: " + d.Name + " gets it, but no replica can be spoken to: " + strings.Join(reasons, "; ")
	case len(reasons) == 0:
		e.Verdict = "503: " + d.Name + " gets it, but has no replica"
	default:
		e.Verdict = "503: " + d.Name + " gets it, but no replica is ready: " + strings.Join(reasons, "; ")
	}
}

// stateFixes is how to find out why a container is in a state that nothing else says
// anything about.
func stateFixes(u Upstream) []string {
	advice := route.Advice(u.Name, u.State, u.Reason)
	if advice == "" || u.Address == "" {
		return nil
	}
	return []string{advice}
}
