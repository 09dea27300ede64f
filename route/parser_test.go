package route_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// guard stands for a middleware that protects a site.
type guard struct {
	Users string
	Allow []string
}

func (g *guard) Labels(s *label.Set) {
	s.String(&g.Users, "basic-auth.users", "", "Users.", label.Secret())
	s.List(&g.Allow, "allow", "Addresses.")
}

var _ label.Binder = (*guard)(nil)

func newParser() *route.Parser {
	return route.NewParser(func() []label.Binder { return []label.Binder{&guard{}} })
}

func TestParserLabels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		why    string
		labels map[string]string
		want   string
	}{
		{"nothing for us", map[string]string{"maintainer": "me"}, ""},
		{
			"a host alone is enough",
			map[string]string{"portway.host": "app.example.com"},
			`"" [app.example.com] / redirect`,
		},
		{
			"everything that a route can say, twice",
			map[string]string{
				"portway.host": "Bücher.example, *.x.", "portway.path": "/p/", "portway.https": "off",
				"portway.api.host": "x", "portway.api.port": "80", "portway.api.scheme": "h2c", "portway.api.network": "n",
			},
			`"" [xn--bcher-kva.example *.x] /p off
"api" [x] / redirect`,
		},
		{
			"a host that is named twice counts once",
			map[string]string{"portway.host": "a,A,a."},
			`"" [a] / redirect`,
		},
		{
			"a wrong value rejects its own route only",
			map[string]string{"portway.host": "a", "portway.port": "http", "portway.api.host": "b"},
			`"" rejected
  c: portway.port: "http" is not a whole number; write a whole number from 1 to 65535
"api" [b] / redirect`,
		},
		{
			"a wrong host is told with what to type",
			map[string]string{"portway.host": "a, https://b"},
			`"" rejected
  c: portway.host: "https://b" has a scheme; write the name without https://: b`,
		},
		{
			"a misspelt protection does not open the site",
			map[string]string{"portway.host": "a", "portway.basic-auth.user": "x", "portway.api.host": "b"},
			`"" rejected
  c: portway.basic-auth.user: unknown label; did you mean portway.basic-auth.users?
"api" [b] / redirect`,
		},
		{
			"a misspelt host rejects its own route only",
			map[string]string{"portway.hots": "a", "portway.api.host": "b"},
			`"" rejected
  c: portway.hots: unknown label; did you mean portway.host?
"api" [b] / redirect`,
		},
		{
			"a protection with a misspelt prefix could be for each of the routes",
			map[string]string{"portway.host": "a", "portway.api.host": "b", "portwya.basic-auth.users": "x"},
			`c: portwya.basic-auth.users: is not read: labels for Portway start with portway.; did you mean portway.basic-auth.users?
"" rejected
"api" rejected`,
		},
		{
			"a protection for a route with a misspelt name could be for each of the routes",
			map[string]string{"portway.host": "a", "portway.api.host": "b", "portway.aip.basic-auth.users": "x"},
			`c: portway.aip.host: is missing, so that portway.aip.basic-auth.users belongs to no route, and no route of this container is served; add it, or did you mean portway.api.basic-auth.users?
"" rejected
"aip" rejected
"api" rejected`,
		},
		{
			"a protection for the default route where only a named one exists",
			map[string]string{"portway.api.host": "b", "portway.basic-auth.users": "x"},
			`c: portway.host: is missing, so that portway.basic-auth.users belongs to no route, and no route of this container is served; add it, or did you mean portway.api.basic-auth.users?
"" rejected
"api" rejected`,
		},
		{
			"no host at all",
			map[string]string{"portway.port": "80"},
			`c: portway.host: is missing; add it, for example portway.host: app.example.com
"" rejected`,
		},
		{
			"a secret is never shown",
			map[string]string{"portway.host": "a", "portway.basic-auth.users": "file:hunter2"},
			`"" rejected
  c: portway.basic-auth.users: what follows file: is no absolute path; write file:/path of a file that Portway can read`,
		},
	} {
		routes, problems := newParser().Labels("c", tt.labels)
		var out []string
		for _, p := range problems {
			out = append(out, p.String())
		}
		for _, r := range routes {
			if r.Route == nil {
				out = append(out, fmt.Sprintf("%q rejected", r.Name))
			} else {
				out = append(out, fmt.Sprintf("%q %s %s %s", r.Name, r.Route.Hosts, r.Route.Path, r.Route.HTTPS))
			}
			for _, p := range r.Problems {
				out = append(out, "  "+p.String())
			}
		}
		if got := strings.Join(out, "\n"); got != tt.want {
			t.Errorf("%s\n got:\n%s\nwant:\n%s", tt.why, got, tt.want)
		}
	}
}

// Static files say the same with the same words.
func TestParserValues(t *testing.T) {
	t.Parallel()
	p := newParser()
	got := p.Values("routes/nas.yaml:2", "nas", strings.Clone, label.Values{"host": "nas.lan", "allow": "10.0.0.0/8", "port": "5000", "scheme": "https"})
	want := route.Parsed{
		Name:    "nas",
		Options: route.Options{Hosts: []string{"nas.lan"}, Path: "/", Port: 5000, Scheme: route.HTTPS, HTTPS: route.Redirect},
		Route: &route.Route{
			Source: "routes/nas.yaml:2", Hosts: []string{"nas.lan"}, Path: "/", HTTPS: route.Redirect,
			Middleware: []label.Binder{&guard{Allow: []string{"10.0.0.0/8"}}},
		},
		Settings: []route.Setting{
			{Key: "allow", Option: "allow", Value: "10.0.0.0/8"},
			{Key: "host", Option: "host", Value: "nas.lan"},
			{Key: "port", Option: "port", Value: "5000"},
			{Key: "scheme", Option: "scheme", Value: "https"},
		},
	}
	want.Route.Settings = want.Settings
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, tt := range []struct {
		values label.Values
		want   string
	}{
		{label.Values{"port": "1"}, "[nas.yaml: host: is missing; add a host for the route, for example app.example.com]"},
		{label.Values{"hots": "a"}, "[nas.yaml: hots: unknown option; did you mean host?]"},
		{nil, "[nas.yaml: host: is missing; add a host for the route, for example app.example.com]"},
	} {
		got := p.Values("nas.yaml", "nas", strings.Clone, tt.values)
		if fmt.Sprint(got.Problems) != tt.want || got.Route != nil {
			t.Errorf("%v gives %v and %v, want %s", tt.values, got.Route, got.Problems, tt.want)
		}
	}
}

// Each route has binders of its own, and none are needed.
func TestParserMiddleware(t *testing.T) {
	t.Parallel()
	routes, _ := newParser().Labels("c", map[string]string{"portway.host": "a", "portway.allow": "x", "portway.b.host": "b", "portway.b.allow": "y"})
	for i, want := range []string{"x", "y"} {
		if g := routes[i].Route.Middleware[0].(*guard); len(g.Allow) != 1 || g.Allow[0] != want {
			t.Errorf("route %d allows %v, want %s", i, g.Allow, want)
		}
	}
	routes, problems := route.NewParser(nil).Labels("c", map[string]string{"portway.host": "a"})
	if len(problems) > 0 || routes[0].Route == nil || len(routes[0].Route.Middleware) != 0 {
		t.Errorf("without middleware: %+v %v", routes, problems)
	}
}
