package route_test

import (
	"fmt"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// as gives r a role.
func as(role route.Role, share int, r *route.Route) *route.Route {
	r.Role, r.Share = role, share
	return r
}

// sharing writes a table in one line: each route with its hosts, and behind the
// arrow who shares them.
func sharing(table *route.Table) string {
	var all []string
	for _, r := range table.Routes() {
		text := r.ID + fmt.Sprint(r.Hosts)
		for i, m := range r.Members {
			if i == 0 {
				text += "<-"
			} else {
				text += "+"
			}
			text += fmt.Sprintf("%s:%s:%d", m.Route.ID, m.Role, m.Share)
			if table.Routes()[m.Route.Index] != m.Route {
				text += " (not the route of the table)"
			}
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func TestSharing(t *testing.T) {
	t.Parallel()
	const other = "; change the host or the path of one of the two"
	for _, tt := range []struct {
		why    string
		routes []*route.Route
		served string
		found  string // host=route, for some requests
		want   string // Problems
	}{
		{
			"weights",
			[]*route.Route{
				as(route.Weight, 3, site(t, "a", "/", "x", "y")), as(route.Weight, 1, site(t, "b", "/", "y", "x")), as(route.Weight, 2, site(t, "c", "/", "x", "y")),
			},
			"a[x y]<-b:weight:1+c:weight:2 b[y x] c[x y]", "x=a y=a", "",
		},
		{
			"a canary, a mirror and a failover leave the holder where it is, also if they were there first",
			[]*route.Route{
				as(route.Canary, 10, site(t, "c", "/", "x")), as(route.Mirror, 100, site(t, "m", "/", "x")), as(route.Failover, 0, site(t, "f", "/", "x")), site(t, "a", "/", "x"),
			},
			"c[x] m[x] f[x] a[x]<-c:canary:10+m:mirror:100+f:failover:0", "x=a", "",
		},
		{
			"they are for the same path only",
			[]*route.Route{site(t, "a", "/", "x"), as(route.Canary, 10, site(t, "c", "/p", "x"))},
			"a[x]", "x=a",
			`container "c": there is no other route for x/p of which this one could be the canary, so that this route is not served; start the other route with the same host and path, or remove canary`,
		},
		{
			"nobody to share with",
			[]*route.Route{as(route.Mirror, 10, site(t, "m", "/", "x", "y")), site(t, "a", "/", "x")},
			"m[x] a[x]<-m:mirror:10", "x=a y=unknown",
			`container "m": there is no other route for y of which this one could be the mirror, so that only the other hosts of this route are served; start the other route with the same host and path, or remove mirror`,
		},
		{
			"a failover serves alone, even a second one's holder, until somebody comes",
			[]*route.Route{as(route.Failover, 0, site(t, "f", "/", "x")), as(route.Failover, 0, site(t, "g", "/", "x"))},
			"f[x]<-g:failover:0 g[x]", "x=f", "",
		},
		{
			"a stopped holder keeps its place before a failover, and its middleware with it",
			[]*route.Route{as(route.Failover, 0, site(t, "f", "/", "x")), stopped(site(t, "a", "/", "x"))},
			"f[x] a[x]<-f:failover:0", "x=a", "",
		},
		{
			"of several weights a live one is the holder",
			[]*route.Route{stopped(as(route.Weight, 3, site(t, "a", "/", "x"))), as(route.Weight, 1, site(t, "b", "/", "x"))},
			"a[x] b[x]<-a:weight:3", "x=b", "",
		},
		{
			"the holder has no weight",
			[]*route.Route{site(t, "a", "/", "x"), as(route.Weight, 1, site(t, "b", "/", "x"))},
			"a[x]", "x=a",
			`container "b": x is already served by container "a", and container "a" has no weight, so that this route is not served; give each of the two a weight to share the requests, or change the host or the path of one of them`,
		},
		{
			"the newcomer has no weight",
			[]*route.Route{as(route.Weight, 1, site(t, "a", "/", "x")), site(t, "b", "/", "x")},
			"a[x]", "x=a",
			`container "b": x is already served by container "a", and this route has no weight, so that this route is not served; give each of the two a weight to share the requests, or change the host or the path of one of them`,
		},
		{
			"neither shares",
			[]*route.Route{site(t, "a", "/", "x"), site(t, "b", "/", "x"), as(route.Canary, 10, site(t, "c", "/", "x"))},
			"a[x]<-c:canary:10 c[x]", "x=a",
			`container "b": x is already served by container "a", so that this route is not served` + other,
		},
		{
			"who shares only a part of the hosts would get requests for others",
			[]*route.Route{site(t, "a", "/", "x", "y"), as(route.Canary, 10, site(t, "b", "/", "x"))},
			"a[x y]", "x=a y=a",
			`container "b": x is shared with container "a", which serves other hosts too, so that this route is not served; give both routes the same hosts`,
		},
		{
			"a route can share one host and have another one",
			[]*route.Route{as(route.Weight, 1, site(t, "a", "/", "x")), as(route.Weight, 1, site(t, "b", "/", "y", "x"))},
			"a[x]<-b:weight:1 b[y x]", "x=a y=b", "",
		},
		{
			"a route can be the canary of several",
			[]*route.Route{site(t, "a", "/", "x"), site(t, "b", "/", "y"), as(route.Canary, 5, site(t, "c", "/", "y", "x"))},
			"a[x]<-c:canary:5 b[y]<-c:canary:5 c[y x]", "x=a y=b", "",
		},
		{
			"more canaries than requests",
			[]*route.Route{site(t, "a", "/", "x"), as(route.Canary, 60, site(t, "b", "/", "x")), as(route.Canary, 50, site(t, "c", "/", "x"))},
			"a[x]<-b:canary:60 b[x]", "x=a",
			`container "c": the canaries of container "a" would get more than 100% of its requests, so that this route is not served; make canary smaller than 50%`,
		},
		{
			"a stopped newcomer stays as it is, without a word",
			[]*route.Route{site(t, "a", "/", "x"), stopped(as(route.Canary, 60, site(t, "b", "/", "x"))), stopped(as(route.Canary, 60, site(t, "c", "/", "y")))},
			"a[x]<-b:canary:60 b[x]", "x=a", "",
		},
	} {
		table := route.NewTable(tt.routes, nil)
		if got := sharing(table); got != tt.served {
			t.Errorf("%s: served are\n%s, want\n%s", tt.why, got, tt.served)
		}
		for request := range strings.FieldsSeq(tt.found) {
			host, want, _ := strings.Cut(request, "=")
			if got := lookup(table, host, "/"); got != want {
				t.Errorf("%s: %s goes to %s, want %s", tt.why, host, got, want)
			}
		}
		var problems []string
		for _, p := range table.Problems() {
			problems = append(problems, p.String())
		}
		if got := strings.Join(problems, "\n"); got != tt.want {
			t.Errorf("%s\n got: %s\nwant: %s", tt.why, got, tt.want)
		}
	}
}

// Who shares a host does not decide whether it gets a certificate.
func TestMembersDoNotName(t *testing.T) {
	t.Parallel()
	holder := site(t, "a", "/", "x")
	holder.HTTPS = route.Off
	table := route.NewTable([]*route.Route{holder, as(route.Canary, 10, site(t, "b", "/", "x"))}, nil)
	if names := table.Names(); len(names) > 0 {
		t.Errorf("a certificate is to be had for %v", names)
	}
}

// A table can be made of the routes of another one.
func TestSharingAgain(t *testing.T) {
	t.Parallel()
	table := route.NewTable([]*route.Route{site(t, "a", "/", "x"), as(route.Canary, 10, site(t, "b", "/", "x"))}, nil)
	was := sharing(table)
	again := route.NewTable(table.Routes(), nil)
	if got := sharing(again); got != was || again.Routes()[0].Members[0].Route == table.Routes()[0].Members[0].Route {
		t.Errorf("got %s, want %s with routes of its own", got, was)
	}
}

func TestShareLabels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values label.Values
		want   string
	}{
		{label.Values{}, ":0"},
		{label.Values{"weight": "3"}, "weight:3"},
		{label.Values{"canary": "10%"}, "canary:10"},
		{label.Values{"mirror": "100 %"}, "mirror:100"},
		{label.Values{"failover": "true"}, "failover:0"},
		{label.Values{"failover": "false", "weight": "1000"}, "weight:1000"},
		{label.Values{"weight": "0"}, `f: weight: "0" is out of range; write a whole number from 1 to 1000`},
		{label.Values{"canary": "10"}, `f: canary: "10" is no share of requests; write a whole number of percent from 1% to 100%`},
		{label.Values{"canary": "0%"}, `f: canary: "0%" is no share of requests; write a whole number of percent from 1% to 100%`},
		{label.Values{"mirror": "101%"}, `f: mirror: "101%" is no share of requests; write a whole number of percent from 1% to 100%`},
		{label.Values{"mirror": "1.5%"}, `f: mirror: "1.5%" is no share of requests; write a whole number of percent from 1% to 100%`},
		{label.Values{"failover": "yes"}, `f: failover: "yes" is neither true nor false; write true or false`},
		{label.Values{"weight": "1", "canary": "10%"}, `f: canary: cannot be given together with weight; remove one of the two`},
		{label.Values{"mirror": "1%", "canary": "10%"}, `f: mirror: cannot be given together with canary; remove one of the two`},
		{label.Values{"mirror": "1%", "failover": "true"}, `f: failover: cannot be given together with mirror; remove one of the two`},
	} {
		tt.values["host"] = "x"
		parsed := route.NewParser(nil).Values("f", "r", strings.Clone, tt.values)
		got := ""
		for _, p := range parsed.Problems {
			got += p.String()
		}
		if r := parsed.Route; r != nil {
			got += fmt.Sprintf("%s:%d", r.Role, r.Share)
		}
		if got != tt.want {
			t.Errorf("%v gives\n%s, want\n%s", tt.values, got, tt.want)
		}
	}
}
