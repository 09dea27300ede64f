package route_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"portway/route"
)

// Whatever routes claim: nobody is forgotten silently, and what a table says about
// who shares with whom holds together.
func TestSharingHoldsTogether(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	roles := []route.Role{route.None, route.None, route.Weight, route.Canary, route.Mirror, route.Failover}
	shared := 0
	for round := range 5_000 {
		var routes []*route.Route
		for i := range 1 + random.IntN(5) {
			var hosts []string
			for _, h := range []string{"x", "y", "*.z"} {
				if random.IntN(2) == 0 {
					hosts = append(hosts, h)
				}
			}
			if hosts == nil {
				hosts = []string{"x"}
			}
			r := as(roles[random.IntN(len(roles))], 1+random.IntN(80), site(t, fmt.Sprint(i), "/", hosts...))
			if random.IntN(4) == 0 {
				r = stopped(r)
			}
			routes = append(routes, r)
		}
		table := route.NewTable(routes, nil)
		problems := make(map[string]bool)
		for _, p := range table.Problems() {
			problems[p.Source] = true
		}
		served := make(map[string]*route.Route)
		for _, r := range table.Routes() {
			served[r.ID] = r
		}
		complain := func(format string, a ...any) {
			var given []string
			for _, r := range routes {
				given = append(given, fmt.Sprintf("%s %v %s:%d %s", r.ID, r.Hosts, r.Role, r.Share, r.Upstreams[0].State))
			}
			t.Fatalf("round %d: %s\n%s\ngives %s\n%v", round, fmt.Sprintf(format, a...), strings.Join(given, "\n"), sharing(table), table.Problems())
		}
		for _, r := range routes {
			whole := served[r.ID] != nil && len(served[r.ID].Hosts) == len(r.Hosts)
			if live := r.Upstreams[0].State != route.Stopped; live && !whole && !problems[r.Source] {
				complain("%s lost something, and nobody says so", r.ID)
			}
			for _, h := range r.Hosts {
				name := strings.Replace(h, "*", "a", 1)
				found := lookup(table, name, "/")
				if s := served[found]; s != nil && !slices.Contains(s.Hosts, h) || s == nil && (r.Role == route.None || r.Role == route.Weight || r.Role == route.Failover) {
					complain("%s goes to %s", name, found)
				}
			}
		}
		for _, r := range table.Routes() {
			canaries := 0
			seen := make(map[string]bool)
			for _, m := range r.Members {
				shared++
				if m.Role == route.Canary {
					canaries += m.Share
				}
				switch {
				case m.Route != table.Routes()[m.Route.Index] || m.Route == r || seen[m.Route.ID]:
					complain("the members of %s are not whole", r.ID)
				case m.Role == route.None || m.Role != m.Route.Role || m.Share != m.Route.Share || m.Role == route.Weight && r.Role != route.Weight:
					complain("the roles of the members of %s do not fit", r.ID)
				}
				for _, h := range r.Hosts {
					if lookup(table, strings.Replace(h, "*", "a", 1), "/") == r.ID && !slices.Contains(m.Route.Hosts, h) {
						complain("%s gets requests for %s", m.Route.ID, h)
					}
				}
				seen[m.Route.ID] = true
			}
			if canaries > 100 || len(r.Members) > 0 && (r.Role == route.Canary || r.Role == route.Mirror) {
				complain("%s cannot have these members", r.ID)
			}
		}
	}
	if shared < 1_000 {
		t.Errorf("only %d members: the test is too weak", shared)
	}
}
