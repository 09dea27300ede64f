package dashboard

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"portway/admin"
)

// page is what templates are given.
type page struct {
	Title string
	Here  string // which link of the navigation leads here
	Data  any

	Theme    string // dark, light, or what the system has
	SignedIn bool
	Version  string
	Stream   string // where news come from; empty: the page does not change
}

// link is one of the navigation.
type link struct{ To, Name string }

var navigation = []link{
	{"/", "Overview"},
	{"/routes", "Routes"},
	{"/containers", "Containers"},
	{"/certificates", "Certificates"},
	{"/explain", "Explain"},
	{"/log", "Log"},
	{"/history", "History"},
}

var functions = template.FuncMap{
	"navigation": func() []link { return navigation },
	"routeURL":   routeURL,
	"when":       func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"machine":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"day":        func(t *time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
	"away":       away,
	"value":      value,
	"loopFix":    func() string { return admin.LoopFix },
	"settings":   settings,
	"plural":     plural,
	"join":       strings.Join,
	"upstream":   describeUpstream,
	"certificate": func(r admin.RouteDetail) mark {
		return certificateOf(r)
	},
	"replicas":  replicasOf,
	"inFlight":  inFlight,
	"served":    servedMark,
	"hosts":     admin.Source.HostsAsked,
	"or":        func(a, b string) string { return cmp.Or(a, b) },
	"siteURL":   siteURL,
	"reasons":   reasonsURL,
	"rest":      func(text, subject string) string { return strings.TrimPrefix(text, subject+": ") },
	"condition": condition,
	"rejected":  func() mark { return mark{"bad", "rejected"} },
}

// templates are one for each page: the layout, and what the page puts into it.
var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	all := make(map[string]*template.Template)
	shared := template.Must(template.New("").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html"))
	for _, name := range []string{"again", "sign-in", "overview", "routes", "route", "containers", "certificates", "explain", "log", "history", "not-found"} {
		all[name] = template.Must(template.Must(shared.Clone()).ParseFS(files, "templates/"+name+".html"))
	}
	return all
}

func (d *Dashboard) render(w http.ResponseWriter, r *http.Request, name string, p page) {
	d.renderStatus(w, r, http.StatusOK, name, p)
}

func (d *Dashboard) renderStatus(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	p.Version, p.SignedIn = d.cfg.Version, name != "sign-in" && name != "again"
	if c, err := r.Cookie("portway-theme"); err == nil && (c.Value == "dark" || c.Value == "light") {
		p.Theme = c.Value
	}
	var b bytes.Buffer // so that a page which cannot be made is not half sent
	if err := templates[name].ExecuteTemplate(&b, "layout", p); err != nil {
		d.cfg.Logger.Error("dashboard: a page cannot be made", "page", name, "error", err)
		http.Error(w, "this page cannot be made; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the client has gone: nobody is left to be told
}

// routeURL is the page of a route.
func routeURL(id string) string { return (&url.URL{Path: "/routes/" + id}).EscapedPath() }

// siteURL is where a route's host is reached; empty for patterns.
func siteURL(r admin.RouteDetail, host string) string {
	if strings.ContainsAny(host, "*~() ") || r.PathKind == "regexp" {
		return ""
	}
	scheme := "https"
	if r.HTTPS == "off" {
		scheme = "http"
	}
	return (&url.URL{Scheme: scheme, Host: host, Path: r.Path}).String()
}

// away is how far a time is from now, in words.
func away(t *time.Time) string {
	d := time.Until(*t)
	text := "in " + span(d)
	if d < 0 {
		text = span(-d) + " ago"
	}
	return text
}

func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// value is that of a setting, for those who may look.
func value(s admin.Setting) string {
	if s.Hidden {
		return "(hidden)"
	}
	return s.Value
}

func settings(all []admin.Setting) string {
	parts := make([]string, len(all))
	for i, s := range all {
		parts[i] = cmp.Or(s.Option, s.Key) + "=" + value(s) // what is misspelt has no option
		if s.From != "" {
			parts[i] += " [" + s.From + "]"
		}
	}
	return strings.Join(parts, ", ")
}

// mark is a word with what it means: good, warn, bad, or nothing of these.
type mark struct{ Kind, Text string }

func describeUpstream(u admin.Upstream) mark {
	switch {
	case u.State != "ready":
		return mark{"bad", strings.TrimSuffix(u.State+": "+u.Reason, ": ")}
	case u.Probe != nil && !u.Probe.Answers:
		return mark{"bad", "ready, but " + u.Probe.Error}
	case u.LeftOut != "":
		return mark{"warn", "left out: " + u.LeftOut}
	case u.Probe != nil:
		return mark{"good", "ready, its port answers"}
	}
	return mark{"good", "ready"}
}

func replicasOf(r admin.RouteDetail) mark {
	n := 0
	for _, u := range r.Upstreams {
		if describeUpstream(u).Kind == "good" {
			n++
		}
	}
	m := mark{"good", fmt.Sprintf("%d of %d", n, len(r.Upstreams))}
	switch {
	case n == 0:
		m.Kind = "bad"
	case n < len(r.Upstreams):
		m.Kind = "warn"
	}
	return m
}

func inFlight(r admin.RouteDetail) (n int64) {
	for _, u := range r.Upstreams {
		n += u.InFlight
	}
	return n
}

// condition is that of one certificate.
func condition(c admin.Certificate) mark {
	switch c.State {
	case "valid":
		return mark{"good", "valid"}
	case "pending":
		return mark{"warn", "pending"}
	}
	return mark{"bad", c.State}
}

func certificateOf(r admin.RouteDetail) mark {
	if r.HTTPS == "off" {
		return mark{"", "HTTPS is off"}
	}
	m := mark{"", "none known"}
	for _, c := range r.Certificates {
		if m = condition(c); m.Kind != "good" {
			return m
		}
	}
	return m
}

func servedMark(x admin.Source) mark {
	n := x.RoutesServed()
	switch {
	case x.Left != "":
		return mark{"", "left out"}
	case x.Served:
		return mark{"good", "served"}
	case n > 0:
		return mark{"warn", fmt.Sprintf("%d of %d routes served", n, len(x.Routes))}
	}
	return mark{"bad", "not served"}
}
