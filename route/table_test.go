package route_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// site makes a route as a Parser would, with one ready upstream.
func site(t testing.TB, id, path string, hosts ...string) *route.Route {
	t.Helper()
	r := &route.Route{ID: id, Name: id, Source: `container "` + id + `"`, HTTPS: route.Redirect, Upstreams: []route.Upstream{{ID: id}}}
	var err error
	if r.Path, err = route.CompilePath(path); err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		compiled, err := route.CompileHost(host)
		if err != nil {
			t.Fatal(err)
		}
		r.Hosts = append(r.Hosts, compiled)
	}
	return r
}

func stopped(r *route.Route) *route.Route {
	r.Upstreams = []route.Upstream{{ID: "1", State: route.Stopped}, {ID: "2", State: route.Stopped}}
	return r
}

// lookup gives the ID of the route, "404" where the host is known, or "unknown".
func lookup(table *route.Table, host, path string) string {
	return find(table, &route.Request{Host: []byte(host), Path: []byte(path)})
}

// find is lookup for a whole request.
func find(table *route.Table, q *route.Request) string {
	r, known := table.Lookup(q)
	switch {
	case r != nil && known:
		return r.ID
	case r == nil && known:
		return "404"
	case r == nil:
		return "unknown"
	}
	return "a route of an unknown host"
}

func TestLookup(t *testing.T) {
	t.Parallel()
	table := route.NewTable([]*route.Route{
		site(t, "app", "/", "app.example.com", "bücher.example", "_x.lan", "localhost"),
		site(t, "api", "/api", "app.example.com"),
		site(t, "v2", "/api/v2", "app.example.com"),
		site(t, "only", "/only", "only.example.com"),
		site(t, "any", "/", "*.example.com"),
		site(t, "any-admin", "/admin", "*.example.com"),
		site(t, "deep", "/", "*.a.example.com"),
		site(t, "ip", "/", "192.168.1.10", "2001:db8::1"),
	}, nil)
	for _, tt := range []struct{ host, path, want string }{
		{"app.example.com", "/", "app"},
		{"APP.Example.COM", "/", "app"},
		{"app.example.com.", "/", "app"},
		{"app.example.com:8443", "/", "app"},
		{"App.Example.Com.:443", "/", "app"},
		{"xn--bcher-kva.example", "/", "app"},
		{"_X.lan", "/", "app"},
		{"localhost:8080", "/x", "app"},
		{"192.168.1.10:80", "/", "ip"},
		{"[2001:db8::1]", "/", "ip"},
		{"[2001:DB8::1]:443", "/", "ip"},
		{"[2001:db8:0:0::1]:443", "/", "ip"},
		{"[2001:db8::2]", "/", "unknown"},
		{"[2001:db8::1", "/", "unknown"},
		{"", "/", "unknown"},
		{".", "/", "unknown"},
		{":443", "/", "unknown"},
		{"example.org", "/", "unknown"},
		{"app.example.com..", "/", "unknown"},
		{strings.Repeat("a", 300) + ".example.com", "/", "unknown"},

		// The longest prefix wins, and only on a segment boundary.
		{"app.example.com", "/api", "api"},
		{"app.example.com", "/api/", "api"},
		{"app.example.com", "/api/v1", "api"},
		{"app.example.com", "/api/v2", "v2"},
		{"app.example.com", "/api/v2/x", "v2"},
		{"app.example.com", "/api/v20", "api"},
		{"app.example.com", "/apix", "app"},
		{"app.example.com", "/API", "app"},
		{"app.example.com", "", "app"},
		{"app.example.com", "*", "app"},

		// A wildcard stands for one label.
		{"x.example.com", "/", "any"},
		{"X.Example.com.:1", "/", "any"},
		{"x.example.com", "/admin/", "any-admin"},
		{"x.y.example.com", "/", "unknown"},
		{"x.a.example.com", "/", "deep"},
		{"a.example.com", "/", "any"},
		{"example.com", "/", "unknown"},
		{".example.com", "/", "unknown"},
		{"*.example.com", "/", "any"},

		// The exact host decides, even if only the wildcard has the path.
		{"only.example.com", "/only/x", "only"},
		{"only.example.com", "/", "404"},
		{"only.example.com", "/admin", "404"},
	} {
		if got := lookup(table, tt.host, tt.path); got != tt.want {
			t.Errorf("%s%s goes to %s, want %s", tt.host, tt.path, got, tt.want)
		}
	}
	if got := lookup(route.NewTable(nil, nil), "a", "/"); got != "unknown" {
		t.Errorf("in an empty table a request goes to %s", got)
	}
}

// A path that servers read differently is routed only if all of them would see
// it below the same route, so that nobody gets around a route's protection by
// writing its path in another way.
func TestLookupOddPaths(t *testing.T) {
	t.Parallel()
	table := route.NewTable([]*route.Route{
		site(t, "all", "/", "x"),
		site(t, "admin", "/admin", "x"),
		site(t, "public", "/admin/public", "x"),
		site(t, "cafe", "/café", "x"),
		site(t, "one", "/", "one"),
	}, nil)
	for path, want := range map[string]string{
		// The same for everybody.
		"/%61dmin":             "admin",
		"/admin%2Fx":           "404",
		"/admin/a%2Fb":         "admin",
		"/admin/a%2fpublic":    "admin",
		"/admin/x/../y":        "admin",
		"/admin/./x":           "admin",
		"/admin//x":            "admin",
		"/admin/x;v=1":         "admin",
		"/.well-known/x":       "all",
		"/a/%2e%2e/b":          "all",
		"/a%":                  "all",
		"/a%zz":                "all",
		"/a|b":                 "all",
		"/100%25":              "all",
		"/caf%c3%a9/x":         "cafe",
		"/caf\xc3\xa9":         "cafe",
		"/admin/public/%20":    "public",
		"/admin/public/x%2Fy;": "public",

		// Different for some.
		"//admin":                   "404",
		"/./admin":                  "404",
		"/x/../admin":               "404",
		"/x/%2e%2e/admin":           "404",
		"/x%2f..%2fadmin":           "404",
		"/%2fadmin":                 "404",
		"/\\admin":                  "404",
		"/%5cadmin":                 "404",
		"/admin;x":                  "404",
		"/admin;x/y":                "404",
		"/admin%3bx":                "404",
		"/;x/admin":                 "404",
		"/admin/..":                 "404",
		"/admin/../x":               "404",
		"/admin/x/..;/..;/..;":      "404",
		"/admin/..;/x":              "404",
		"/admin/secret/../public":   "404",
		"/admin/public/../secret":   "404",
		"/admin/public/..%2fx":      "404",
		"/admin//public":            "404",
		"/admin/secret%2f../public": "404",
	} {
		if got := lookup(table, "x", path); got != want {
			t.Errorf("%s goes to %s, want %s", path, got, want)
		}
		// Where there is only one route, there is nothing to get around.
		if got := lookup(table, "one", path); got != "one" {
			t.Errorf("%s goes to %s, want the only route", path, got)
		}
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		why    string
		routes []*route.Route
		served string // ID of each route and its hosts
		want   string // Problems
	}{
		{
			"the first has it, the second is told who does",
			[]*route.Route{site(t, "a", "/", "x"), site(t, "b", "/", "x")},
			"a[x]",
			`container "b": x is already served by container "a", so that this route is not served; change the host or the path of one of the two`,
		},
		{
			"paths are in the claim",
			[]*route.Route{site(t, "a", "/", "x"), site(t, "b", "/p", "x"), site(t, "c", "/p/", "x")},
			"a[x] b[x]",
			`container "c": x/p is already served by container "b", so that this route is not served; change the host or the path of one of the two`,
		},
		{
			"what is left is served, and each holder is named",
			[]*route.Route{site(t, "a", "/", "x", "y"), site(t, "b", "/", "z"), site(t, "c", "/", "y", "z", "v", "x")},
			"a[x y] b[z] c[v]",
			`container "c": y, x are already served by container "a", so that only the other hosts of this route are served; change the host or the path of one of the two
container "c": z is already served by container "b", so that only the other hosts of this route are served; change the host or the path of one of the two`,
		},
		{
			"a wildcard and a name below it do not meet",
			[]*route.Route{site(t, "a", "/", "*.x"), site(t, "b", "/", "a.x")},
			"a[*.x] b[a.x]",
			"",
		},
		{
			"a host that is named twice is no conflict",
			[]*route.Route{site(t, "a", "/", "x", "X")},
			"a[x]",
			"",
		},
		{
			"a stopped container yields to one that runs, without a complaint about it",
			[]*route.Route{stopped(site(t, "a", "/", "x", "y")), site(t, "b", "/", "x")},
			"a[y] b[x]",
			"",
		},
		{
			"a stopped container keeps what nobody else wants, for a 503",
			[]*route.Route{stopped(site(t, "a", "/", "x")), stopped(site(t, "b", "/", "x"))},
			"a[x]",
			"",
		},
		{
			"the newcomer is stopped: nothing to tell yet",
			[]*route.Route{site(t, "a", "/", "x"), stopped(site(t, "b", "/", "x"))},
			"a[x]",
			"",
		},
		{
			"two routes of one container",
			[]*route.Route{site(t, "a", "/", "x"), func() *route.Route {
				r := site(t, "b", "/", "x")
				r.Source = `container "a"`
				return r
			}()},
			"a[x]",
			`container "a": x is already served by its route a, so that this route is not served; change the host or the path of one of the two`,
		},
		{
			"a route without a host is not forgotten silently",
			[]*route.Route{site(t, "a", "/"), site(t, "b", "/", "x")},
			"b[x]",
			`container "a": has no host, so no request can reach it; add a host`,
		},
	} {
		before := []label.Problem{{Source: "before"}}
		table := route.NewTable(tt.routes, before)
		var served []string
		for i, r := range table.Routes() {
			served = append(served, r.ID+fmt.Sprint(r.Hosts))
			if r.Index != i {
				t.Errorf("%s: the index of %s is %d, want %d", tt.why, r.ID, r.Index, i)
			}
			for _, h := range r.Hosts {
				if got := lookup(table, strings.Replace(h, "*", "some", 1), r.Path); got != r.ID {
					t.Errorf("%s: %s%s goes to %s, want %s", tt.why, h, r.Path, got, r.ID)
				}
			}
		}
		if got := strings.Join(served, " "); got != tt.served {
			t.Errorf("%s: served are %s, want %s", tt.why, got, tt.served)
		}
		var problems []string
		for _, p := range table.Problems()[1:] {
			problems = append(problems, p.String())
		}
		if got := strings.Join(problems, "\n"); got != tt.want {
			t.Errorf("%s\n got: %s\nwant: %s", tt.why, got, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	off := site(t, "off", "/", "plain.example.com", "b.example.com")
	off.HTTPS = route.Off
	only := site(t, "only", "/", "a.example.com")
	only.HTTPS = route.Only
	wishful := site(t, "2", "/x", "b.example.com", "c.example.com")
	wishful.TLS = route.TLS{Issuer: "zerossl"}
	saas, unasked := site(t, "3", "/", "x"), site(t, "4", "/", "x")
	saas.Hosts, unasked.Hosts = []string{"~.+[.]com"}, []string{"~.+[.]org"}
	saas.TLS = route.TLS{OnDemand: route.OnDemand{Ask: "http://app"}}
	table := route.NewTable([]*route.Route{site(t, "1", "/", "c.example.com", "*.example.com"), off, only, wishful, saas, unasked}, nil)
	want := []route.Name{
		{Host: "*.example.com"},
		{Host: "a.example.com"},
		{Host: "b.example.com", TLS: wishful.TLS},
		{Host: "c.example.com", TLS: wishful.TLS},
		{Host: "~.+[.]com", TLS: saas.TLS},
	}
	if got := table.Names(); !reflect.DeepEqual(got, want) {
		t.Errorf("names are %v, want %v", got, want)
	}
}

// The routes given to NewTable may be part of a table that is being read.
func TestNewTableChangesNothing(t *testing.T) {
	t.Parallel()
	a, b := site(t, "a", "/", "x"), site(t, "b", "/", "x", "y", "y")
	b.Index = 7
	was := *b
	table := route.NewTable([]*route.Route{a, b}, nil)
	if !reflect.DeepEqual(*b, was) || len(b.Hosts) != 3 {
		t.Errorf("NewTable changed %+v to %+v", was, *b)
	}
	if r, _ := table.Lookup(&route.Request{Host: []byte("y"), Path: []byte("/")}); r.Index != 1 || r != table.Routes()[1] {
		t.Errorf("Lookup gives %p with index %d, Routes %p", r, r.Index, table.Routes()[1])
	}
}

func TestStateNames(t *testing.T) {
	t.Parallel()
	var names []string
	for s := route.Ready; s <= route.Stopped+1; s++ {
		names = append(names, s.String())
	}
	if got, want := strings.Join(names, " "), "ready starting unhealthy paused stopping stopped state 6"; got != want {
		t.Errorf("states are %s, want %s", got, want)
	}
}

// OfHost is about the same routes as Lookup.
func TestOfHost(t *testing.T) {
	t.Parallel()
	pattern := site(t, "pattern", "/")
	pattern.Hosts = []string{`~[a-z]+\.example\.org`}
	table := route.NewTable([]*route.Route{
		site(t, "exact", "/", "a.example.com"), site(t, "path", "/x", "a.example.com"), site(t, "wild", "/", "*.example.com"), pattern,
	}, nil)
	for host, want := range map[string]string{
		"a.example.com": "path exact", "b.example.com": "wild", "a.b.example.com": "", "x.example.org": "pattern", "1.example.org": "", "": "", ".": "",
	} {
		var got []string
		for r := range table.OfHost(host) {
			got = append(got, r.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	for range route.NewTable(nil, nil).OfHost("a.example.com") {
		t.Error("an empty table has a route")
	}
}
