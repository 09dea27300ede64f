package proxy

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// Error pages tell the owner, who sits at this machine, why, and what to type; whoever
// comes through something that runs on it is a visitor.
func TestOwnerPages(t *testing.T) {
	t.Parallel()
	parsed := route.NewParser(nil).Values("t", "api", func(o string) string { return o }, label.Values{"host": "criteria.test", "https": "off", "match.method": "POST"})
	criteria := parsed.Route
	criteria.ID, criteria.Name = "api", "api"
	down := &route.Route{
		ID: "down", Name: "down", Hosts: []string{"down.test"}, Path: "/", HTTPS: route.Off,
		Upstreams: []route.Upstream{{ID: "1", Name: "web-1", Network: "tcp", Address: "127.0.0.1:1", Scheme: route.HTTP}},
	}
	var trusted option = func(c *Config, _ *Server) {
		if c != nil {
			c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
	}
	var on option = func(c *Config, _ *Server) {
		if c != nil {
			c.OwnerPages = true
		}
	}
	get := func(i *instance, url, accept string, fields ...string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			request.Header.Add(name, value)
		}
		resp, err := i.client(t).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		content, _ := io.ReadAll(resp.Body)
		return string(content)
	}
	i := serve(t, []*route.Route{criteria, down}, on)
	for _, c := range []struct{ url, accept, want string }{
		{"http://down.test/x", "text/plain", "Why: web-1: "},
		{"http://down.test/x", "text/html", "<code>portway explain &#39;http://down.test/x&#39;</code>"},
		{"http://down.test/x", "application/json", `"ask": "portway explain 'http://down.test/x'"`},
		{"http://criteria.test/", "text/plain", "Why: the route api asks for match.method POST\n"},
		{"https://unknown.test/", "text/plain", "To learn more: portway explain 'https://unknown.test/'"},
		{"http://down.test/'%20;x", "text/plain", "portway explain 'http://down.test/%27%20;x'"},
	} {
		if got := get(i, c.url, c.accept); !strings.Contains(got, c.want) {
			t.Errorf("%s: no %q in %s", c.url, c.want, got)
		}
	}
	if got := get(i, "http://unknown.test/", "text/plain"); strings.Contains(got, "Why:") {
		t.Errorf("a host that is not known: %s", got)
	}
	visitor := func(what string, i *instance, fields ...string) {
		t.Helper()
		for _, url := range []string{"http://down.test/x", "http://criteria.test/"} {
			if got := get(i, url, "text/plain", fields...); strings.Contains(got, "explain") || strings.Contains(got, "web-1") {
				t.Errorf("%s, %s: %s", what, url, got)
			}
		}
	}
	for _, f := range []string{
		"X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 127.0.0.1, 203.0.113.9", "X-Real-IP: 203.0.113.9", "Forwarded: for=203.0.113.9",
		"Forwarded: for=unknown", "Via: 1.1 tunnel", "CF-Connecting-IP: 203.0.113.9", "X-Forwarded-Proto: https",
	} {
		visitor(f, i, f)
	}
	visitor("a trusted proxy", serve(t, []*route.Route{criteria, down}, on, trusted), "X-Forwarded-For: 203.0.113.9")
	visitor("switched off", serve(t, []*route.Route{criteria, down}))
}

// byCookie has each host's owner have the host's name as his cookie.
type byCookie struct{}

func (byCookie) Owner(host string, cookies []*http.Cookie) (string, bool) {
	for _, c := range cookies {
		if c.Name == "owner" {
			return "https://dash.test", c.Value == host
		}
	}
	return "", false
}

func (byCookie) Explain(at, method, url string) string { return at + "/?" + method + "&" + url }

// Whoever has signed in is told as well, wherever he is; a cookie that is not this host's,
// or of another name, makes nobody an owner. The link and the host are what was asked for,
// whatever the origin is asked.
func TestSignedOwners(t *testing.T) {
	t.Parallel()
	parsed := route.NewParser(Binders).Values("t", "down", func(o string) string { return o }, label.Values{
		"host": "down.test", "https": "off", "strip-prefix": "/app", "request-headers": "Host: inner.test",
	})
	rewriting := parsed.Route
	if rewriting == nil {
		t.Fatal(parsed)
	}
	rewriting.ID, rewriting.Name = "down", "down"
	rewriting.Upstreams = []route.Upstream{{ID: "1", Name: "web-1", Network: "tcp", Address: "127.0.0.1:1", Scheme: route.HTTP}}
	i := serve(t, []*route.Route{rewriting}, withConfig(func(c *Config) { c.Owners = byCookie{} }))
	get := func(url, accept string, cookies ...string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		request.Header.Set("X-Forwarded-For", "203.0.113.9") // a visitor
		for _, c := range cookies {
			request.Header.Add("Cookie", c)
		}
		resp, err := i.client(t).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		content, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: %s", url, resp.Status)
		}
		return string(content)
	}
	const url, cookie = "https://down.test:8443/app/x?a=1&b", "owner=down.test"
	for accept, want := range map[string][]string{
		"text/plain":       {"Why: ", "On the dashboard: https://dash.test/?GET&" + url + "\n", "since you have signed in", "explain 'https://down.test:8443/app/x'"},
		"text/html":        {`<a href="https://dash.test/?GET&amp;https://down.test:8443/app/x?a=1&amp;b" rel="noreferrer">`},
		"application/json": {`"explain": "https://dash.test/?GET\u0026https://down.test:8443/app/x?a=1\u0026b"`},
	} {
		content := get(url, accept, "a=b; "+cookie)
		for _, w := range want {
			if !strings.Contains(content, w) {
				t.Errorf("no %q in %s", w, content)
			}
		}
	}
	if content := get(url, "text/plain", "a=b", cookie); !strings.Contains(content, "Why: ") {
		t.Errorf("cookies in several fields: %s", content)
	}
	for _, c := range []string{"", "owner=inner.test", "owner=", "x=down.test", "x=" + cookie, strings.ToUpper(cookie)} {
		if content := get(url, "text/plain", c); strings.Contains(content, "explain") || strings.Contains(content, "dash") || strings.Contains(content, "Why") {
			t.Errorf("with %q, a visitor is told: %s", c, content)
		}
	}
}
