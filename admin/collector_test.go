package admin

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"portway/route"
)

// Two static files may have routes of one name, and the same origin. They are one
// series: Prometheus would get nothing at all if it were there twice.
func TestRoutesOfOneNameAreOneSeries(t *testing.T) {
	t.Parallel()
	same := func(file string) *route.Route {
		return &route.Route{
			ID: "file:" + file + "/nas", Name: "nas", Source: file, Hosts: []string{file + ".test"}, Path: "/",
			Upstreams: []route.Upstream{{ID: "nas:80", Name: "nas:80", Network: "tcp", Address: "nas:80", Scheme: route.HTTP}},
		}
	}
	s := New(Config{Cache: func(string) (Cache, bool) { return Cache{Hits: 2}, true }})
	s.SetTable(route.NewTable([]*route.Route{same("a"), same("b")}, nil))
	r := prometheus.NewRegistry()
	r.MustRegister(s.Collector())
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	hits := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() == "portway_cache_requests_total" && l[0].GetValue() == "hit" && l[1].GetValue() == "nas" {
				hits = m.GetCounter().GetValue()
			}
		}
	}
	if hits != 4 {
		t.Errorf("%v hits, want those of both", hits)
	}
}
