package cache_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"portway/label"
	"portway/proxy/cache"
)

// What labels change: each file of testdata has the reason, the labels beside
// portway.cache, and requests as run takes them.
func TestOptions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, o := range label.Describe(&cache.Options{}).Options() {
		if o.Name != "cache" && !strings.Contains(all.String(), "\nportway."+o.Name+": ") {
			t.Errorf("no case in testdata has %s", o.Name)
		}
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string]string{}
			for _, f := range a.Files {
				parts[f.Name] = string(f.Data)
			}
			origin := newScript()
			seen := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery != "" {
					r.Header.Set("Seen", r.URL.RawQuery)
				}
				origin.ServeHTTP(w, r)
			})
			labels := strings.Split(strings.ReplaceAll(strings.TrimSpace(parts["labels"]), label.Prefix, ""), "\n")
			run(t, serve(t, seen, labels...), origin, "/x", parts["exchanges"])
		})
	}
}

// What a client says of itself without being asked must not get into what others get.
func TestForwardedIsKeyedOrPlain(t *testing.T) {
	t.Parallel()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		for name, values := range r.Header {
			if strings.HasPrefix(name, "X-Forwarded") || name == "Forwarded" || name == "X-Real-Ip" {
				_, _ = fmt.Fprintf(w, "%s: %s\n", name, strings.Join(values, ","))
			}
		}
	}))
	_, evil := s.do(t, http.MethodGet, "/", "X-Forwarded-Host: evil.test", "X-Forwarded-For: evil", "X-Forwarded-Prefix: /evil",
		"Forwarded: for=evil;host=evil.test", "X-Real-IP: evil", "X_Forwarded_Host: evil.test")
	if strings.Contains(evil, "evil") {
		t.Errorf("the origin was told\n%s", evil)
	}
	if resp, again := s.do(t, http.MethodGet, "/"); again != evil || !strings.Contains(resp.Header.Get("Cache-Status"), "hit") {
		t.Errorf("%v\n%s", resp.Header, again)
	}
}

// Labels that cannot be used.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cache.methods: POST":               "POST",
		"cache.bypass.headers: a b":         "a b",
		"cache.bypass.paths: admin":         "admin",
		"cache.ttl: soon":                   "soon",
		"cache.max-object: big":             "big",
		"cache.key.query: a":                "",
		"cache.key.ignore-query: utm":       "",
		"cache.key.ignore-query: utm, page": "",
	} {
		name, value, _ := strings.Cut(text, ": ")
		values := label.Values{"cache": "true", name: value}
		if text == "cache.key.ignore-query: utm, page" {
			values["cache.key.query"], want = "page", "does nothing beside cache.key.query"
		}
		problems := label.Parse("test", func(o string) string { return label.Key("", o) }, values, &cache.Options{})
		if want == "" && len(problems) > 0 || want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Why, want)) {
			t.Errorf("%s: %v", text, problems)
		}
	}
	if problems := label.Parse("test", func(o string) string { return o }, label.Values{"cache.ttl": "1m"}, &cache.Options{}); len(problems) != 1 {
		t.Errorf("a detail without cache: %v", problems)
	}
}

// Purging by address, prefix and tag, of what is stored and of what is on its way.
func TestPurge(t *testing.T) {
	t.Parallel()
	began, purged := make(chan struct{}, 1), make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Surrogate-Key", "all "+strings.Trim(r.URL.Path, "/"))
		w.Header().Set("Cache-Tag", "x, "+r.URL.RawQuery)
		if r.URL.Path == "/slow" {
			began <- struct{}{}
			<-purged
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	stored := func(target string) bool {
		resp, _ := s.do(t, http.MethodGet, target, "Cache-Control: only-if-cached")
		return resp.StatusCode == http.StatusOK
	}
	for _, c := range []struct {
		purge      cache.Purge
		gone, left string
	}{
		{cache.Purge{URL: "https://CACHE.test/a?q"}, "/a?q", "/a /b /ab"},
		{cache.Purge{URL: "http://cache.test"}, "/", "/a"},
		{cache.Purge{Prefix: "https://cache.test/a"}, "/a /a?q /ab", "/b /"},
		{cache.Purge{Tag: "b"}, "/b", "/a /ab"},
		{cache.Purge{Tag: "q"}, "/a?q", "/a"},
		{cache.Purge{Tag: "all"}, "/a /b /a?q /ab /", ""},
		{cache.Purge{All: true}, "/a /b /a?q /ab /", ""},
	} {
		for _, target := range []string{"/", "/a", "/b", "/ab", "/a?q"} {
			s.do(t, http.MethodGet, target)
		}
		n, err := s.cache.Purge(c.purge)
		if err != nil || n != len(strings.Fields(c.gone)) {
			t.Errorf("%+v dropped %d: %v", c.purge, n, err)
		}
		for _, target := range strings.Fields(c.gone) {
			if stored(target) {
				t.Errorf("%+v left %s", c.purge, target)
			}
		}
		for _, target := range strings.Fields(c.left) {
			if !stored(target) {
				t.Errorf("%+v dropped %s", c.purge, target)
			}
		}
	}
	for _, p := range []cache.Purge{{}, {URL: "/a"}, {URL: "http://a", Tag: "b"}} {
		if _, err := s.cache.Purge(p); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = s.ask("/slow")
	}()
	<-began
	if _, err := s.cache.Purge(cache.Purge{Tag: "slow"}); err != nil {
		t.Error(err)
	}
	close(purged)
	<-done
	if stored("/slow") {
		t.Error("what was on its way is stored although it was purged")
	}
}
