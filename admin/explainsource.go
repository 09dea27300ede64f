package admin

import (
	"fmt"
	"slices"
	"strings"

	"portway/label"
	"portway/route"
)

// explainSource tells why a container or file is served, or why not.
func (s *Server) explainSource(v *view, name string) (Explanation, error) {
	e := Explanation{Asked: name, Fixes: []string{}, Sources: []Source{}, Failures: []Failure{}}
	found := v.find(name)
	if len(found) == 0 {
		return v.unknownSource(e, name), nil
	}
	slices.SortFunc(found, func(a, b *route.Source) int { return strings.Compare(a.Name, b.Name) })
	e.Served = true
	var verdicts []string
	for _, x := range found {
		d := v.source(x)
		e.Sources = append(e.Sources, d)
		served, verdict := s.judgeSource(v, x, &d, &e)
		e.Served = e.Served && served
		verdicts = append(verdicts, verdict)
		for _, p := range d.Problems {
			e.Fixes = append(e.Fixes, sentence(p))
		}
	}
	e.Verdict = strings.Join(verdicts, "; ")
	return e, nil
}

// find finds sources by what people call them.
func (v *view) find(name string) (found []*route.Source) {
	for _, fits := range []func(*route.Source) bool{
		func(x *route.Source) bool { return x.Name == name },
		func(x *route.Source) bool { return x.Service == name },
		func(x *route.Source) bool {
			id, ok := strings.CutPrefix(x.ID, "container:")
			return ok && len(name) >= 4 && strings.HasPrefix(id, name)
		},
		func(x *route.Source) bool { return x.Kind == route.File && strings.HasSuffix(x.Name, "/"+name) },
		func(x *route.Source) bool { return strings.HasSuffix(x.Service, "/"+name) },
	} {
		for _, x := range v.Sources() {
			if fits(x) {
				found = append(found, x)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	return found
}

// meant tells whether people mean a request or a source.
func (v *view) meant(what string) (url, source string) {
	switch {
	case strings.Contains(what, "://"):
		return what, ""
	case len(v.find(what)) > 0:
		return "", what
	case strings.ContainsAny(what, "./:") || v.Explain(&route.Request{Host: []byte(what), Path: []byte("/")}).Known:
		return what, ""
	}
	return "", what
}

// judgeSource says in one sentence whether a source is served, and why not.
func (s *Server) judgeSource(v *view, x *route.Source, d *Source, e *Explanation) (served bool, verdict string) {
	switch {
	case x.Left != "":
		return false, x.Name + " is not served, since " + x.Left
	case len(x.Parts) == 0:
		return false, x.Name + " is not served, since none of its labels asks for a route"
	}
	rejected := 0
	var hosts, reasons []string
	for _, p := range d.Routes {
		r := v.byID[p.RouteID]
		if r == nil {
			rejected++
			continue
		}
		hosts = append(hosts, r.Hosts...)
		e.Failures = append(e.Failures, s.failures.of(r.ID)...)
		for _, u := range s.describe(r).Upstreams {
			if x.Kind == route.Container && u.Name != x.Name {
				continue
			}
			switch {
			case u.State != route.Ready.String():
				reasons = append(reasons, strings.TrimSpace("it is "+u.State+": "+u.Reason))
				e.Fixes = append(e.Fixes, stateFixes(u)...)
			case u.Probe != nil && !u.Probe.Answers:
				reasons = append(reasons, u.Probe.Error)
			}
			if u.Probe != nil && u.Probe.Hint != "" {
				e.Fixes = append(e.Fixes, u.Name+": "+u.Probe.Hint)
			}
		}
	}
	slices.Sort(reasons)
	reasons = slices.Compact(reasons)
	switch {
	case rejected == len(d.Routes):
		return false, fmt.Sprintf("%s is not served: %s", x.Name, why(d.Problems))
	case len(reasons) > 0:
		return false, fmt.Sprintf("%s has the hosts %s, but gets no requests: %s", x.Name, strings.Join(hosts, ", "), strings.Join(reasons, "; "))
	case rejected > 0:
		return false, fmt.Sprintf("%s is served at %s, but not all of its routes are: %s", x.Name, strings.Join(hosts, ", "), why(d.Problems))
	}
	return true, x.Name + " is served at " + strings.Join(hosts, ", ")
}

// why puts what is wrong in a few words.
func why(problems []Problem) string {
	if len(problems) == 0 {
		return "another route has its hosts"
	}
	p := problems[0]
	text := strings.TrimPrefix(p.Label+" "+p.Why, " ")
	if len(problems) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(problems)-1)
	}
	return text
}

// unknownSource is told about what discovery did not see, or saw nothing of interest in.
func (v *view) unknownSource(e Explanation, name string) Explanation {
	e.Verdict = "nothing is known about " + label.Quote(name) + ": there is no such container, or it has no label that begins with " + label.Prefix +
		", or the setting constraint leaves it out"
	var names []string
	for _, x := range v.Sources() {
		names = append(names, x.Name, x.Service)
	}
	if near := label.Nearest(name, names); near != "" {
		e.Fixes = append(e.Fixes, "did you mean "+near+"?")
	}
	for _, p := range v.Problems() {
		if strings.HasPrefix(p.Source, "Docker engine") {
			e.Fixes = append(e.Fixes, p.String())
		}
	}
	e.Fixes = append(e.Fixes, "give the container the label "+label.Key("", "host")+": app.example.com, and create it anew")
	return e
}
