package route_test

import (
	"slices"
	"strings"
	"testing"

	"portway/internal/routetest"
	"portway/label"
	"portway/route"
)

// Package proxy sends the same requests through a listener.
func TestGolden(t *testing.T) {
	t.Parallel()
	var used []string
	for _, c := range routetest.Read(t, "testdata") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if got, want := strings.Join(c.Problems, "\n"), strings.Join(c.Want, "\n"); got != want {
				t.Errorf("problems are\n%s\nwant\n%s", got, want)
			}
			table := route.NewTable(c.Routes, nil)
			for _, q := range c.Requests {
				request := &route.Request{
					Host: []byte(q.Host), Path: []byte(q.Path), Query: []byte(q.Query), Method: []byte(q.Method),
					Client: q.From, Fields: q.Fields,
				}
				if c.Places != nil {
					request.Places = c.Places
				}
				if got := find(table, request); got != q.Want {
					t.Errorf("%s\ngoes to %s", q.Line, got)
				}
			}
		})
		used = append(used, c.Options...)
	}
	for _, o := range label.Describe(&route.Options{}).Options() {
		if !slices.Contains(used, o.Name) && !slices.Contains([]string{"port", "network", "scheme"}, o.Name) { // discovery has those
			t.Errorf("no golden case has %s", o.Name)
		}
	}
}
