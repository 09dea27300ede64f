package route_test

import (
	"errors"
	"testing"

	"portway/label"
	"portway/route"
)

func TestCompilePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/":            "/",
		"//":           "/",
		"/api":         "/api",
		"/api/":        "/api",
		"/api/v1":      "/api/v1",
		"/a.b/..c":     "/a.b/..c",
		"/~user":       "/~user",
		"/%7euser":     "/~user",
		"/%61pi":       "/api",
		"/a%40b":       "/a@b",
		"/café":        "/caf%C3%A9",
		"/caf%c3%a9":   "/caf%C3%A9",
		"/a b":         "/a%20b",
		"/100%25":      "/100%25",
		"/a,b=c&d:e+f": "/a,b=c&d:e+f",
	} {
		if got, err := route.CompilePath(path); got != want || err != nil {
			t.Errorf("%s gives %q, want %q: %v", path, got, want, err)
		}
	}
	const odd = `has a character that servers read differently: ;, \ or an encoded /; write a path without it`
	for path, want := range map[string]string{
		"":        `"" does not begin with /; write /`,
		"api":     `"api" does not begin with /; write /api`,
		"/api/*":  `"/api/*" has a *; write the path alone; what is below it is always included`,
		"/a?b=c":  `"/a?b=c" has more than a path; write /a`,
		"/a#b":    `"/a#b" has more than a path; write /a`,
		"/a//b":   `"/a//b" has an empty segment, . or ..; write the path as it is after following them`,
		"/a/../b": `"/a/../b" has an empty segment, . or ..; write the path as it is after following them`,
		"/%2e":    `"/%2e" has an empty segment, . or ..; write the path as it is after following them`,
		"/a%2fb":  `"/a%2fb" ` + odd,
		"/a;b":    `"/a;b" ` + odd,
		`/a\b`:    `"/a\\b" ` + odd,
		"/a%5cb":  `"/a%5cb" ` + odd,
		"/a%":     `"/a%" has a % without two hexadecimal digits; write %25 for a percent sign`,
		"/a%g1":   `"/a%g1" has a % without two hexadecimal digits; write %25 for a percent sign`,
		"/a%00":   `"/a%00" has a control character; remove it`,
		"/a\nb":   `"/a\nb" has a control character; remove it`,
	} {
		if got, err := route.CompilePath(path); err == nil || err.Error() != want {
			t.Errorf("%q gives %q\n got: %v\nwant: %s", path, got, err, want)
		}
	}
}

// FuzzCompilePath: what is accepted stays as it is, and a request for it, and
// for what is below, is routed by it, even beside a route for everything else.
func FuzzCompilePath(f *testing.F) {
	for _, s := range []string{"/", "/api/", "/café", "/%7Ex", "/a%2fb", "/a/./b", "/%25", "/a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		path, err := route.CompilePath(s)
		if err != nil {
			if e, ok := errors.AsType[*label.Error](err); !ok || e.Why == "" || e.Fix == "" {
				t.Errorf("%q: %v gives no advice", s, err)
			}
			return
		}
		if again, err := route.CompilePath(path); err != nil || again != path {
			t.Errorf("%q is compiled to %q, and that to %q, %v", s, path, again, err)
		}
		table := route.NewTable([]*route.Route{
			{ID: "all", Hosts: []string{"x"}, Path: "/"},
			{ID: "path", Hosts: []string{"x"}, Path: path},
		}, nil)
		if path == "/" {
			return
		}
		for _, sent := range []string{s, path, path + "/", path + "/x"} {
			if got := lookup(table, "x", sent); got != "path" {
				t.Errorf("%q is compiled to %q, and %q goes to %s", s, path, sent, got)
			}
		}
		if got := lookup(table, "x", path+"x"); got == "path" {
			t.Errorf("%sx goes to the route of %s", path, path)
		}
	})
}
