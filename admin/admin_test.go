package admin_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"

	"portway/admin"
	"portway/label"
	"portway/route"
)

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestHealthFollowsTheTable(t *testing.T) {
	t.Parallel()
	s := admin.New(admin.Config{})
	want := func(when string, status int, body string) {
		t.Helper()
		if w := get(s, "/healthz"); w.Code != status || w.Body.String() != body {
			t.Errorf("%s: %d %q", when, w.Code, w.Body)
		}
	}
	want("at first", 503, "starting: the routes are not read yet\n")
	// No container has a label yet, which is no reason to be restarted.
	s.SetTable(route.NewTable(nil, nil))
	want("with an empty table", 200, "ok\n")
	s.Draining()
	want("while draining", 503, "shutting down: finishing requests in flight\n")
}

func TestStatus(t *testing.T) {
	t.Parallel()
	next := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := admin.New(admin.Config{
		Version: "1.2.3",
		Certificates: func() []admin.Certificate {
			return []admin.Certificate{{Name: "blog.example.com", State: "failed", LastError: "no such name", NextTry: &next, Attempts: 2}}
		},
		Problems: func() []label.Problem { return []label.Problem{{Source: "/certs/a.pem", Why: "there is no key"}} },
	})
	s.SetTable(route.NewTable([]*route.Route{{
		ID: "compose:blog/web/default", Name: "blog/web", Source: `container "blog-web-1"`,
		Hosts: []string{"blog.example.com"}, Path: "/", HTTPS: route.Redirect,
		Upstreams: []route.Upstream{{ID: "1", Name: "blog-web-1", Network: "tcp", Address: "172.18.0.3:80", Scheme: route.HTTP, State: route.Unhealthy, Reason: "its health check fails"}},
	}}, []label.Problem{{Source: `container "x"`, Key: "portway.hots", Why: "unknown label", Fix: "did you mean portway.host?"}}))
	var got admin.Status
	if err := json.Unmarshal(get(s, "/v1/status").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Healthy || got.Version != "1.2.3" || len(got.Routes) != 1 || len(got.Problems) != 2 || len(got.Certificates) != 1 {
		t.Fatalf("%+v", got)
	}
	if r := got.Routes[0]; r.Name != "blog/web" || r.HTTPS != "redirect" || len(r.Upstreams) != 1 ||
		r.Upstreams[0] != (admin.Upstream{ID: "1", Name: "blog-web-1", Address: "172.18.0.3:80", Scheme: "http", State: route.Unhealthy.String(), Reason: "its health check fails"}) {
		t.Errorf("route %+v", r)
	}
	if p := got.Problems[1]; p != (admin.Problem{Source: `container "x"`, Label: "portway.hots", Why: "unknown label", Fix: "did you mean portway.host?"}) {
		t.Errorf("problem %+v", p)
	}
	if c := got.Certificates[0]; c.Attempts != 2 || !c.NextTry.Equal(next) || c.NotAfter != nil {
		t.Errorf("certificate %+v", c)
	}
}

// What the proxy has found out about a replica goes before what the table says.
func TestStatusOfUpstreams(t *testing.T) {
	t.Parallel()
	s := admin.New(admin.Config{Replicas: func(r *route.Route) []admin.Replica {
		return []admin.Replica{{Upstream: route.Upstream{Name: r.Upstreams[0].Name, State: route.Unhealthy, Reason: "its health check fails: 503"}}}
	}})
	s.SetTable(route.NewTable([]*route.Route{{ID: "a", Hosts: []string{"a.example.com"}, Path: "/", Upstreams: []route.Upstream{{Name: "web-1"}}}}, nil))
	if got := s.Status().Routes[0].Upstreams; len(got) != 1 || got[0].Name != "web-1" || got[0].State != "unhealthy" || got[0].Reason != "its health check fails: 503" {
		t.Errorf("%+v", got)
	}
}

// Programs that read the status get lists, never null.
func TestStatusBeforeTheFirstTable(t *testing.T) {
	t.Parallel()
	var got map[string]any
	if err := json.Unmarshal(get(admin.New(admin.Config{}), "/v1/status").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"routes", "problems", "certificates"} {
		if _, ok := got[key].([]any); !ok {
			t.Errorf("%s is %v", key, got[key])
		}
	}
	if got["healthy"] != false || got["reason"] == "" {
		t.Errorf("healthy %v, reason %v", got["healthy"], got["reason"])
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	ok := admin.New(admin.Config{Root: func() (admin.Root, error) { return admin.Root{PEM: "PEM", Path: "/data/ca.crt"}, nil }})
	if w := get(ok, "/v1/ca"); w.Code != 200 || !json.Valid(w.Body.Bytes()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	broken := admin.New(admin.Config{Root: func() (admin.Root, error) { return admin.Root{}, errors.New("the disk is full") }})
	if w := get(broken, "/v1/ca"); w.Code != 500 || w.Body.String() != "the disk is full\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := get(admin.New(admin.Config{}), "/v1/ca"); w.Code != 404 {
		t.Errorf("without a CA: %d", w.Code)
	}
}

func TestOnlyReads(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	admin.New(admin.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/status", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered %d", w.Code)
	}
}

// Goroutines, descriptors and memory that something takes are counted.
func TestStatusCountsWhatTheProcessTakes(t *testing.T) { // not parallel: it measures
	s := admin.New(admin.Config{})
	before := s.Status().Runtime
	const n = 50
	memory := make([]byte, 8<<20)
	release := make(chan struct{})
	for range n {
		go func() { <-release }()
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
	}
	var got admin.Status
	if err := json.Unmarshal(get(s, "/v1/status").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	close(release)
	if after := got.Runtime; after.Goroutines < before.Goroutines+n || after.HeapBytes < uint64(len(memory)) ||
		runtime.GOOS == "linux" && after.OpenFiles < before.OpenFiles+n {
		t.Errorf("before %+v, after %+v", before, after)
	}
	runtime.KeepAlive(memory)
}

// bound is a binder, as routes have them.
type bound struct{ Text string }

func (b *bound) Labels(s *label.Set) { s.String(&b.Text, "text", "default", "Some text.") }

// What routes are configured with is not touched by who only looks at it.
func TestTableIsOnlyLookedAt(t *testing.T) {
	t.Parallel()
	b := &bound{Text: "given"}
	s := admin.New(admin.Config{})
	s.SetTable(route.NewTable([]*route.Route{{ID: "1", Hosts: []string{"a.test"}, Path: "/", Middleware: []label.Binder{b}}}, nil))
	get(s, "/v1/status")
	get(s, "/v1/routes")
	if b.Text != "given" {
		t.Errorf("the option became %q", b.Text)
	}
}
