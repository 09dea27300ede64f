package show

import (
	"cmp"
	"fmt"
	"strings"

	"portway/admin"
)

// Explanation writes which way a request goes, or why something is served or not.
func (p Printer) Explanation(e admin.Explanation) {
	mark, colour := "NOT SERVED", red
	if e.Served {
		mark, colour = "SERVED", green
	}
	p.line("%s  %s", p.in(colour, mark), clean(e.Verdict))
	if len(e.Fixes) > 0 {
		p.heading("What to do")
		for _, f := range unique(e.Fixes) {
			p.line("  - %s", clean(f))
		}
	}
	if e.Request != nil {
		p.trace(e.Request)
	}
	for _, x := range e.Sources {
		p.source(x)
	}
	p.failures(e.Failures)
}

func unique(all []string) (once []string) {
	seen := make(map[string]bool)
	for _, s := range all {
		if !seen[s] {
			once = append(once, s)
		}
		seen[s] = true
	}
	return once
}

func (p Printer) heading(text string) {
	p.line("\n%s", p.in(bold, text))
}

func (p Printer) trace(t *admin.Trace) {
	p.heading(t.Method + " " + clean(t.URL))
	switch t.FoundBy {
	case "":
		p.line("  host         %s, which no route has", clean(t.Host))
	case t.Host:
		p.line("  host         %s", clean(t.Host))
	case "~":
		p.line("  host         %s, by patterns", clean(t.Host))
	default:
		p.line("  host         %s, by %s", clean(t.Host), clean(t.FoundBy))
	}
	for i, x := range t.Tried {
		title := "tried"
		if i > 0 {
			title = ""
		}
		p.line("  %-12s %s", title, p.try(x))
		for _, m := range x.Misses {
			p.line("               %s asks for %s; the request has %s", m.Option, clean(m.Wants), clean(cmp.Or(m.Got, "nothing")))
		}
	}
	if t.Route == nil {
		return
	}
	r := t.Route
	p.line("  route        %s, from %s", p.in(bold, clean(r.Name)), clean(r.Source))
	for i, s := range r.Chain {
		title := "options"
		if i > 0 {
			title = ""
		}
		p.line("  %-12s %d. %s: %s", title, i+1, s.Name, settings(s.Settings))
	}
	for _, m := range r.Members {
		p.line("  shared with  %s: %s %d", clean(m.Name), m.Role, m.Share)
	}
	for i, u := range r.Upstreams {
		title := "replicas"
		if i > 0 {
			title = ""
		}
		p.line("  %-12s %s", title, p.upstream(u))
		if u.Probe != nil && u.Probe.Hint != "" {
			p.line("               %s", p.in(yellow, clean(u.Probe.Hint)))
		}
	}
	if len(r.Upstreams) == 0 {
		p.line("  replicas     %s", p.in(red, "none"))
	}
	switch x := t.Certificate; {
	case r.HTTPS == "off":
		p.line("  certificate  none: https is off")
	case x == nil:
		p.line("  certificate  none is known")
	default:
		p.line("  certificate  %s", p.certificate(x))
	}
}

func (p Printer) try(x admin.Try) string {
	text := fmt.Sprintf("%s (%s)", clean(x.Route), clean(x.Path))
	switch {
	case x.Chosen:
		return p.in(green, text+": this one")
	case len(x.Misses) == 0:
		return text + ": would fit too, but comes later"
	}
	return p.in(dim, text+": does not fit")
}

func settings(all []admin.Setting) string {
	var parts []string
	for _, s := range all {
		value := clean(s.Value)
		if s.Hidden {
			value = "(hidden)"
		}
		text := clean(s.Option) + "=" + value
		if s.From != "" {
			text += " [" + clean(s.From) + "]"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func (p Printer) upstream(u admin.Upstream) string {
	where := "no address"
	if u.Address != "" {
		where = u.Scheme + "://" + clean(u.Address)
	}
	text := clean(u.Name) + " at " + where + ", "
	switch {
	case u.State != "ready":
		text += p.in(red, u.State)
		if u.Reason != "" {
			text += ": " + clean(u.Reason)
		}
	case u.Probe != nil && !u.Probe.Answers:
		text += "ready, but " + p.in(red, clean(u.Probe.Error))
	case u.LeftOut != "":
		text += p.in(yellow, "left out") + ": " + clean(u.LeftOut)
	case u.Probe != nil:
		text += p.in(green, "ready, its port answers")
	default:
		text += p.in(green, "ready")
	}
	if u.InFlight > 0 {
		text += fmt.Sprintf(", %d in flight", u.InFlight)
	}
	return text
}

func (p Printer) certificate(x *admin.Certificate) string {
	text := clean(x.Name) + ": "
	if x.State == "valid" {
		text += p.in(green, "valid")
	} else {
		text += p.in(red, x.State)
	}
	if x.Issuer != "" {
		text += ", by " + clean(x.Issuer)
	}
	if x.NotAfter != nil {
		text += ", until " + x.NotAfter.UTC().Format("2006-01-02 15:04 MST")
	}
	if x.LastError != "" {
		text += "; " + clean(x.LastError)
	}
	if x.NextTry != nil {
		text += "; next try " + x.NextTry.UTC().Format("2006-01-02 15:04 MST")
	}
	return text
}

func (p Printer) source(x admin.Source) {
	p.heading(x.Kind + " " + clean(x.Name))
	if x.Kind == "container" {
		text := x.State
		if x.Reason != "" {
			text += ": " + clean(x.Reason)
		}
		p.line("  state        %s", text)
		p.line("  service      %s", clean(x.Service))
		for i, n := range x.Networks {
			title := "networks"
			if i > 0 {
				title = ""
			}
			shared := "Portway cannot reach it there"
			if n.Shared {
				shared = "Portway can reach it there"
			}
			p.line("  %-12s %s %s, %s", title, clean(n.Name), cmp.Or(n.IP, "(no address)"), shared)
		}
		p.line("  ports        %s", ports(x))
	}
	for i, s := range x.Labels {
		title := "labels"
		if i > 0 {
			title = ""
		}
		value := clean(s.Value)
		if s.Hidden {
			value = "(hidden)"
		}
		p.line("  %-12s %s=%s", title, clean(s.Key), value)
	}
	for _, r := range x.Routes {
		name := cmp.Or(r.Name, "(default)")
		switch {
		case !r.Served:
			p.line("  route        %s: %s", clean(name), p.in(red, "rejected"))
		case r.Choice.Address != "":
			p.line("  route        %s: %s, since %s; port %d, since %s", clean(name), r.Choice.Address, r.Choice.Why, r.Choice.Port, r.Choice.PortWhy)
		default:
			p.line("  route        %s", clean(name))
		}
	}
	for i, y := range x.Problems {
		title := "problems"
		if i > 0 {
			title = ""
		}
		p.line("  %-12s %s", title, p.in(yellow, clean(problem(y))))
	}
}

func ports(x admin.Source) string {
	exposed := "none exposed"
	if len(x.Exposed) > 0 {
		exposed = "exposed " + strings.Trim(fmt.Sprint(x.Exposed), "[]")
	}
	if len(x.Published) > 0 {
		exposed += "; published " + strings.Join(x.Published, ", ")
	}
	return exposed
}

// maxFailures is how many are shown.
const maxFailures = 5

func (p Printer) failures(all []admin.Failure) {
	if len(all) == 0 {
		return
	}
	p.heading("Last failed requests")
	var rows [][]cell
	for _, f := range all[:min(len(all), maxFailures)] {
		rows = append(rows, []cell{
			c(f.Time.Local().Format("2006-01-02 15:04:05"), dim), c(fmt.Sprint(f.Status), red), c(f.Method + " " + f.Host + f.Path), c(cmp.Or(f.Cause, f.Told)), c(f.RequestID, dim),
		})
	}
	p.table([]string{"TIME", "STATUS", "REQUEST", "WHY", "REQUEST ID"}, rows)
}
