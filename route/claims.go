package route

import (
	"slices"
	"strings"

	"portway/label"
)

// claim is what only one route can have.
type claim struct{ host, path string }

// String gives the claim as a person would type it into a browser.
func (c claim) String() string {
	if c.path == "/" {
		return c.host
	}
	return c.host + c.path
}

// settle decides who gets each claim. It returns the hosts that each route
// keeps, and adds a Problem for each route that lost some.
func (t *Table) settle(routes []*Route) [][]string {
	holders := make(map[claim]*Route, len(routes))
	kept := make([][]string, len(routes))
	lost := make([][]claim, len(routes))
	for _, wantLive := range []bool{true, false} {
		for i, r := range routes {
			if r.live() != wantLive {
				continue
			}
			for _, host := range r.Hosts {
				c := claim{host, r.Path}
				switch holder := holders[c]; {
				case holder == nil:
					holders[c] = r
					kept[i] = append(kept[i], host)
				case holder != r:
					lost[i] = append(lost[i], c)
				}
			}
		}
	}
	for i, r := range routes {
		if len(r.Hosts) == 0 {
			t.problems = append(t.problems, label.Problem{Source: r.Source, Why: "has no host, so no request can reach it", Fix: "add a host"})
		}
		if r.live() {
			t.reportLost(r, lost[i], holders, len(kept[i]) > 0)
		}
	}
	return kept
}

// reportLost adds one Problem for each route that r lost claims to.
func (t *Table) reportLost(r *Route, lost []claim, holders map[claim]*Route, served bool) {
	for len(lost) > 0 {
		holder := holders[lost[0]]
		var names []string
		lost = slices.DeleteFunc(lost, func(c claim) bool {
			if holders[c] != holder {
				return false
			}
			names = append(names, c.String())
			return true
		})
		by := holder.Source
		if by == r.Source {
			by = "its route " + holder.Name
		}
		verb, left := " is", "this route is not served"
		if len(names) > 1 {
			verb = " are"
		}
		if served {
			left = "only the other hosts of this route are served"
		}
		t.problems = append(t.problems, label.Problem{
			Source: r.Source,
			Why:    strings.Join(names, ", ") + verb + " already served by " + by + ", so that " + left,
			Fix:    "change the host or the path of one of the two",
		})
	}
}
