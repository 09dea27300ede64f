package discovery

import (
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// tagged is a binder beside route.Options, as middleware will be.
type tagged struct {
	tags []string
	path string
}

func (m *tagged) Labels(s *label.Set) {
	s.List(&m.tags, "tags", "Tags.")
	s.String(&m.path, "health.path", "", "Path.")
	s.Check("health.path", func() error {
		if slices.Contains(m.tags, "no-health") {
			return errors.New("goes not with the tag no-health")
		}
		return nil
	})
}

func taggedWatcher() *watcher {
	return newWatcher(Config{Middleware: func() []label.Binder { return []label.Binder{&tagged{}} }}, func(*route.Table) {})
}

// serveFile gives what comes of a single static file; ok is false if it cannot be
// read at all.
func serveFile(w *watcher, text string) (got staticRoutes, ok bool) {
	said, ok := readText(w.rules.parser, "f", "file:f", []byte(text))
	w.onStatic(&staticSet{files: []staticFile{{said: said}}, bundles: said.bundles})
	w.settle()
	return w.serving, ok
}

// Maps stand for dots, lists for commas, and anchors for what they name; text
// stays as it is written, whatever YAML takes it for.
func TestStaticValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		yaml, path string
		tags       []string
	}{
		{"health: {path: /up}", "/up", nil},
		{"health.path: /up", "/up", nil},
		{"tags: [a, b]", "", []string{"a", "b"}},
		{"tags: a, b", "", []string{"a", "b"}},
		{"tags: [1.10, true, 0x1F, 2026-01-02, 'no']", "", []string{"1.10", "true", "0x1F", "2026-01-02", "no"}},
		{"health: {path: &p /up}\n tags: [*p, *p]", "/up", []string{"/up", "/up"}},
		{"health:\n  path: |-\n   /up", "/up", nil},
	} {
		text := "r:\n host: r.test\n to: http://192.0.2.1\n " + c.yaml + "\n"
		got, _ := serveFile(taggedWatcher(), text)
		if len(got.routes) != 1 {
			t.Errorf("%s: %v", text, got.problems)
			continue
		}
		m := got.routes[0].Middleware[0].(*tagged)
		if m.path != c.path || !slices.Equal(m.tags, c.tags) {
			t.Errorf("%s: %+v", text, m)
		}
	}
	for _, c := range []struct{ yaml, want string }{
		{"tags: ['a,b']", "f:4: r.tags: has an item with a comma"},
		{"tags: []", "f:4: r.tags: is empty"},
		{"tags:", "f:4: r.tags: is empty"},
		{"health: {path: /a}\n health.path: /b", "f:5: r.health.path: is there twice"},
		{"health: &h\n  path: *h", "r.health.path.path.path"},
		{"? [a]\n : b", "f:4: r.: has a key that is no text"},
		{"a: &a {1: , 2: , 3: , 4: , 5: , 6: , 7: , 8: , 9: }\n b: &b {1: *a, 2: *a, 3: *a, 4: *a, 5: *a, 6: *a}\n" +
			" c: &c {1: *b, 2: *b, 3: *b, 4: *b, 5: *b, 6: *b}\n d: {1: *c, 2: *c, 3: *c, 4: *c, 5: *c}", "r: has more than 1000 options"},
		{"health: {pth: /a}", "f:4: r.health.pth: unknown option; did you mean r.health.path?"},
	} {
		text := "r:\n host: r.test\n to: http://192.0.2.1\n " + c.yaml + "\n"
		got, ok := serveFile(taggedWatcher(), text)
		all := ""
		for _, p := range got.problems {
			all += p.String() + "\n"
		}
		if !ok || len(got.routes) != 0 || !strings.Contains(all, c.want) {
			t.Errorf("%s: %v; want %q, got:\n%s", text, ok, c.want, all)
		}
	}
}

// For options that take one thing a line, a list stands for lines.
func TestStaticLines(t *testing.T) {
	t.Parallel()
	w := taggedWatcher()
	got, _ := serveFile(w, "a:\n host: a\n to: http://x:1\n match.header: ['X-A: 1, 2', '!X-B']\n")
	if len(got.routes) != 1 {
		t.Fatalf("problems: %v", got.problems)
	}
	if m := got.routes[0].Match.String(); m != "match.header: !x-b; match.header: x-a:1, 2" {
		t.Errorf("got %s", m)
	}
	got, _ = serveFile(w, "b:\n host: b\n to: http://x:1\n match.header: [X-A: 1]\n")
	const want = "f:4: b.match.header: has an item that is no text; write a list of plain values, in quotes where they have a colon"
	if len(got.problems) != 1 || got.problems[0].String() != want {
		t.Errorf("got %v, want %s", got.problems, want)
	}
}

func TestParseOrigin(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://192.168.1.10":         "http tcp 192.168.1.10:80",
		"http://NAS.Local:5000/":      "http tcp nas.local:5000",
		"https://[fd00::1]":           "https tcp [fd00::1]:443",
		"h2c://grpc:50051":            "h2c tcp grpc:50051",
		"unix:/run/app.sock":          "http unix /run/app.sock",
		"unix:///run/app.sock":        "http unix /run/app.sock",
		"":                            `"" does not begin with http://`,
		"nas:5000":                    "does not begin with http://",
		"ftp://nas":                   "does not begin with http://",
		"http:nas":                    "names no host",
		"http://":                     "names no host",
		"http://nas:0":                "has a port that is not from 1 to 65535",
		"http://nas:65536":            "has a port that is not from 1 to 65535",
		"http://nas/app":              "has more than scheme, host and port",
		"http://nas?x":                "has more than scheme, host and port",
		"http://me:secret@nas":        "holds a user or a password",
		"http://me:secret@nas:x":      "holds a user or a password",
		"unix:app.sock":               "is no absolute path",
		"unix://run/app.sock":         "is no absolute path",
		"unix:/" + longText(200, 'x'): "longer than the 107 bytes",
	} {
		u, err := parseOrigin(text)
		got := string(u.Scheme) + " " + u.Network + " " + u.Address
		if err != nil {
			got = err.Why
		}
		if !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func longText(n int, c byte) string { return strings.Repeat(string(c), n) }

// Whatever a file holds, it is read without a crash and in good time, and what
// comes of it can be served: each route has a host, and upstreams that can be
// dialled.
func FuzzStaticFile(f *testing.F) {
	for _, text := range []string{
		site("a.test"), "", "null", "[]", "a: b", "a: {}\n---\nb: {}", "a: &a {b: *a}", "a: !!binary x", "? {a: b}\n: c",
		"a: {host: [x.test, y.test], to: [http://1.2.3.4, unix:/a], health: {path: /}}", "\xff\xfe", "%YAML 1.1\n---\na: 1", "<<: {}",
		"bundles: {b: {tags: x}, c: &c {to: y}}\ndefaults: {health: {path: /}}\na: {host: a.test, use: [b, c], to: http://1.2.3.4}", "bundles: &b {b: *b}\ndefaults: *b",
		"a: &x [*x]\nb: {host: *x, to: *x}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		w := taggedWatcher()
		got, _ := serveFile(w, string(text))
		for id, r := range w.files {
			if r.route == nil && len(got.problems) == 0 {
				t.Errorf("route %q is rejected without a word", id)
			}
		}
		for _, r := range got.routes {
			if len(r.Hosts) == 0 || len(r.Upstreams) == 0 {
				t.Errorf("a route without host or upstream: %+v", r)
			}
			for _, u := range r.Upstreams {
				if _, _, err := net.SplitHostPort(u.Address); err != nil && !filepath.IsAbs(u.Address) {
					t.Errorf("upstream %+v: %v", u, err)
				}
			}
		}
		for _, p := range got.problems {
			if p.Why == "" || p.Source == "" {
				t.Errorf("a problem that says nothing: %+v", p)
			}
		}
	})
}
