package route_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"portway/internal/routetest"
	"portway/route"
)

// agrees holds Explain against Lookup.
func agrees(t *testing.T, table *route.Table, q *route.Request) route.Explanation {
	t.Helper()
	r, known := table.Lookup(q)
	x := table.Explain(q)
	if x.Route != r || x.Known != known {
		t.Fatalf("%s %s: Explain says %v, %v; Lookup %v, %v", q.Host, q.Path, x.Route, x.Known, r, known)
	}
	first := slices.IndexFunc(x.Tried, func(y route.Try) bool { return len(y.Misses) == 0 })
	switch {
	case known != (len(x.Tried) > 0):
		t.Fatalf("%s: known is %v, and tried are %d", q.Host, known, len(x.Tried))
	case r != nil && (first < 0 || x.Tried[first].Route != r):
		t.Fatalf("%s %s: the route is %s, and the first that is said to fit is at %d of %d", q.Host, q.Path, r.ID, first, len(x.Tried))
	case r == nil && !x.Doubt && first >= 0:
		t.Fatalf("%s %s: no route, and yet %s is said to fit", q.Host, q.Path, x.Tried[first].Route.ID)
	}
	return x
}

// What does not fit is named, with what the request has instead.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ask  ask
		want []string
	}{
		{
			ask{host: "a.example", method: "PUT", path: "/x"},
			[]string{
				`6: path.exact wants "/a/", got "/x"`,
				`4: path wants "/a/b", got "/x"; match.method wants "!PUT", got "PUT"; match.query wants "q=x y", got ""`,
				`5: path.exact wants "/a/b", got "/x"`,
				`3: path wants "/a", got "/x"; match.cookie wants "c=~[0-9]+", got ""`,
				`2: path wants "/a", got "/x"`,
				`1: match.header wants "x-a:1", got ""`,
				`0: match.method wants "GET, POST", got "PUT"`,
			},
		},
		{
			ask{host: "B.example:443", method: "GET", path: "/b", query: "q=1", fields: routetest.Fields{{"User-Agent", "Mozilla/5.0"}}},
			[]string{
				`10: match.country wants "!AT, DE", got "a client whose place is not in the database"`,
				`12: match.agent wants "bot, ~.*X.*", got "Mozilla/5.0"`,
			},
		},
		{ask{host: "nobody.net", method: "GET", path: "/"}, nil},
	} {
		c.ask.from = oraclePlaces[2].Range.Addr().Prev()
		x := agrees(t, oracleTable, c.ask.request())
		var got []string
		for _, try := range x.Tried {
			var misses []string
			for _, m := range try.Misses {
				misses = append(misses, fmt.Sprintf("%s wants %q, got %q", m.Option, m.Wants, m.Got))
			}
			got = append(got, try.Route.ID+": "+strings.Join(misses, "; "))
		}
		for _, want := range c.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s%s: no %s in\n%s", c.ask.host, c.ask.path, want, strings.Join(got, "\n"))
			}
		}
	}
}

// By whose host a request is known, and which host may have been meant.
func TestExplainHost(t *testing.T) {
	t.Parallel()
	for host, by := range map[string]string{"A.example.": "a.example", "x.example": "*.example", "a.example.org": "~", "nobody.net": "", "": "", "[": ""} {
		if x := agrees(t, oracleTable, (&ask{host: host, path: "/", method: "GET"}).request()); x.By != by {
			t.Errorf("%q: by %q, want %q", host, x.By, by)
		}
	}
	if near := oracleTable.NearHost("a.exmaple"); near != "a.example" {
		t.Errorf("near: %q", near)
	}
	// Servers do not agree whether this is below /a/b, so nobody gets it.
	if x := agrees(t, oracleTable, (&ask{host: "b.example", path: "/a/x/..%2fc", method: "GET"}).request()); !x.Known {
		t.Error("unknown")
	}
}
