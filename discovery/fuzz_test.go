package discovery

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/rogpeppe/go-internal/txtar"

	"portway/route"
)

// From any labels on two replicas comes a table, without a crash, and what is
// served is complete. Labels that say nothing bad are served.
func FuzzLabels(f *testing.F) {
	f.Add("portway.host", "a.test", "portway.port", "80", "portway.host", "b.test")
	f.Add("portway.api.host", "*.test", "portway.hots", "x", "portway.default.host", "b.test")
	f.Add("portway.host", "a.test", "com.docker.compose.project", "p", "com.docker.compose.service", "s")
	f.Add("portway.host", "a.test", "portway.use", "x", "portway.bundle.x.https", "only")
	f.Add("portway.enable", "true", "portway.bundle.x", "y", "portway.api.enable", "false")
	f.Add("portway.", "", "portway..host", "a", "Portway.host", "b")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3 string) {
		w := newWatcher(Config{}, func(*route.Table) {})
		w.static = &staticSet{}
		a, b := newContainer("a"), newContainer("b")
		a.labels = map[string]string{k1: v1, k2: v2}
		b.labels = map[string]string{k1: v1, k3: v3}
		for _, c := range []*fakeContainer{a, b} {
			_, text := c.documents()
			var r container.InspectResponse
			if err := json.Unmarshal(text, &r); err != nil {
				return // not UTF-8
			}
			s, err := newSnapshot(r, w.rules, nil)
			if err != nil {
				t.Fatal(err)
			}
			w.onSnapshot(w.add(c.id, c.name), s)
		}
		var table *route.Table
		w.emit = func(got *route.Table) { table = got }
		w.publish()
		for _, r := range table.Routes() {
			if r.ID == "" || r.Name == "" || r.Source == "" || len(r.Hosts) == 0 || len(r.Upstreams) == 0 || !strings.HasPrefix(r.Path, "/") {
				t.Errorf("incomplete route %+v", r)
			}
			for _, u := range r.Upstreams {
				if _, _, err := net.SplitHostPort(u.Address); err != nil && u.State == route.Ready {
					t.Errorf("upstream %+v: %v", u, err)
				}
			}
		}
		for _, p := range table.Problems() {
			if p.Source == "" || p.Why == "" {
				t.Errorf("a problem that says nothing: %+v", p)
			}
		}
	})
}

// Whatever an engine answers, nothing crashes.
func FuzzInspect(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, a := range txtar.Parse(text).Files {
			if strings.HasSuffix(a.Name, ".json") {
				f.Add(a.Data)
			}
		}
	}
	by := &rules{parser: route.NewParser(nil)}
	f.Fuzz(func(_ *testing.T, text []byte) {
		var list []container.Summary
		if json.Unmarshal(text, &list) == nil {
			for _, s := range list {
				_ = listed(s)
			}
		}
		var r container.InspectResponse
		if json.Unmarshal(text, &r) != nil {
			return
		}
		s, err := newSnapshot(r, by, nil)
		if err != nil {
			return
		}
		w := newWatcher(Config{}, func(*route.Table) {})
		w.static = &staticSet{}
		for _, v := range []vantage{{}, {inside: true, networks: s.net.networks}, {published: true}, {remote: "engine", published: true}} {
			w.outside = v
			w.onSnapshot(w.add(s.id, ""), s)
			w.publish()
		}
	})
}
