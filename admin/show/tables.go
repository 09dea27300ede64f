package show

import (
	"fmt"
	"strings"

	"portway/admin"
)

// Sources writes what discovery saw.
func (p Printer) Sources(all []admin.Source) {
	if len(all) == 0 {
		p.line("no container with a label for Portway, and no static file, is known")
		return
	}
	rows := make([][]cell, len(all))
	for i, x := range all {
		rows[i] = []cell{c(x.Name, bold), state(x), served(x), c(x.HostsAsked()), c(address(x)), c(trouble(x), yellow)}
	}
	p.table([]string{"NAME", "STATE", "SERVED", "HOSTS", "ADDRESS", "WHY NOT"}, rows)
}

func state(x admin.Source) cell {
	switch x.State {
	case "":
		return c(x.Kind)
	case "ready":
		return c(x.State, green)
	case "stopped":
		return c(x.State, dim)
	}
	return c(x.State, yellow)
}

func served(x admin.Source) cell {
	n := x.RoutesServed()
	switch {
	case x.Left != "":
		return c("left out", dim)
	case x.Served:
		return c("yes", green)
	case n > 0:
		return c(fmt.Sprintf("%d of %d", n, len(x.Routes)), yellow)
	}
	return c("no", red)
}

func address(x admin.Source) string {
	var all []string
	for _, r := range x.Routes {
		if a := r.Choice.Address; a != "" && (len(all) == 0 || all[len(all)-1] != a) {
			all = append(all, a)
		}
	}
	return strings.Join(all, ", ")
}

func trouble(x admin.Source) string {
	switch {
	case x.Left != "":
		return x.Left
	case len(x.Problems) > 0:
		text := problem(x.Problems[0])
		if n := len(x.Problems) - 1; n > 0 {
			text += fmt.Sprintf(" (and %d more)", n)
		}
		return text
	}
	return x.Reason
}

// problem is one without its source.
func problem(x admin.Problem) string {
	text := x.Why
	if x.Label != "" {
		text = x.Label + ": " + text
	}
	if x.Fix != "" {
		text += "; " + x.Fix
	}
	return text
}

// Routes writes what is served.
func (p Printer) Routes(all []admin.RouteDetail) {
	if len(all) == 0 {
		p.line("no route is served")
		return
	}
	var rows [][]cell
	for _, r := range all {
		for i, host := range r.Hosts {
			row := []cell{c(where(r, host), bold), c(""), c(""), c(""), c(""), c("")}
			if i == 0 {
				row = []cell{row[0], c(r.Name), replicas(r), c(fmt.Sprint(inFlight(r))), certificate(r), c(chain(r))}
			}
			rows = append(rows, row)
		}
	}
	p.table([]string{"HOST AND PATH", "ROUTE", "REPLICAS", "IN FLIGHT", "HTTPS", "OPTIONS"}, rows)
}

func where(r admin.RouteDetail, host string) string {
	text := host
	switch {
	case r.PathKind == "regexp":
		text += " ~" + r.Path
	case r.PathKind == "exact":
		text += r.Path + " exactly"
	case r.Path != "/":
		text += r.Path
	}
	if r.Criteria != "" {
		text += " (" + r.Criteria + ")"
	}
	return text
}

func replicas(r admin.RouteDetail) cell {
	n := 0
	for _, u := range r.Upstreams {
		if u.State == "ready" && u.LeftOut == "" && (u.Probe == nil || u.Probe.Answers) {
			n++
		}
	}
	text, colour := fmt.Sprintf("%d/%d", n, len(r.Upstreams)), green
	switch {
	case n == 0:
		colour = red
	case n < len(r.Upstreams):
		colour = yellow
	}
	return c(text, colour)
}

func inFlight(r admin.RouteDetail) (n int64) {
	for _, u := range r.Upstreams {
		n += u.InFlight
	}
	return n
}

func certificate(r admin.RouteDetail) cell {
	if r.HTTPS == "off" {
		return c("off", dim)
	}
	text, colour := "-", plain
	for _, x := range r.Certificates {
		switch {
		case x.State != "valid":
			return c(x.State, red)
		case text == "-":
			text, colour = "valid", green
			if x.NotAfter != nil {
				text += " until " + x.NotAfter.UTC().Format("2006-01-02")
			}
		}
	}
	return c(text, colour)
}

func chain(r admin.RouteDetail) string {
	var names []string
	for _, s := range r.Chain {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}
