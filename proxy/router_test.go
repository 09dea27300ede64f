package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/exchange"
	"portway/route"
)

func echoOrigin(t *testing.T) string {
	return originAt(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, r.RequestURI)
	})
}

func TestRouting(t *testing.T) {
	t.Parallel()
	o := echoOrigin(t)
	mode := func(host string, m route.HTTPSMode) *route.Route {
		return with(at(host, o), func(r *route.Route) { r.HTTPS = m })
	}
	i := serve(t, []*route.Route{
		mode("redirect.test", route.Redirect),
		mode("only.test", route.Only),
		mode("off.test", route.Off),
		mode("*.wild.test", route.Off),
		with(mode("path.test", route.Off), func(r *route.Route) { r.Path = "/api" }),
	}, withConfig(func(cfg *Config) {
		cfg.HTTPSPort = 8443
		cfg.Plain = map[string]http.Handler{"/.well-known/portway/ca.crt": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "root")
		})}
	}))
	client := i.client(t)
	for _, c := range []struct {
		url, want string
		location  string
	}{
		{"http://off.test/a?b", "200 GET off.test /a?b", ""},
		{"http://off.test/a%2Fb/..%20/?", "200 GET off.test /a%2Fb/..%20/?", ""},
		{"http://x.wild.test/", "200 GET x.wild.test /", ""},
		{"https://off.test/", "200 GET off.test /", ""},
		{"http://redirect.test/a%2f?b=c&d", "308 ", "https://redirect.test:8443/a%2f?b=c&d"},
		{"http://redirect.test:80/?", "308 ", "https://redirect.test:8443/?"},
		{"https://redirect.test/x", "200 GET redirect.test /x", ""},
		{"http://only.test/", "404 404 No such site", ""},
		{"https://only.test/", "200 GET only.test /", ""},
		{"http://path.test/api/x", "200 GET path.test /api/x", ""},
		{"http://path.test/other", "404 404 No such page", ""},
		{"http://nobody.test/", "404 404 No such site", ""},
		{"http://redirect.test/.well-known/acme-challenge/token", "200 token.thumbprint", ""},
		{"http://nobody.test/.well-known/acme-challenge/token", "200 token.thumbprint", ""},
		{"http://off.test/.well-known/acme-challenge/other", "200 GET off.test /.well-known/acme-challenge/other", ""},
		{"http://redirect.test/.well-known/acme-challenge/other", "308 ", "https://redirect.test:8443/.well-known/acme-challenge/other"},
		{"https://off.test/.well-known/acme-challenge/token", "200 GET off.test /.well-known/acme-challenge/token", ""},
		{"http://redirect.test/.well-known/portway/ca.crt", "200 root", ""},
		{"https://off.test/.well-known/portway/ca.crt", "200 GET off.test /.well-known/portway/ca.crt", ""},
	} {
		resp, body := get(t, client, c.url)
		body, _, _ = strings.Cut(body, "\n")
		if got := fmt.Sprint(resp.StatusCode, " ", body); got != c.want || resp.Header.Get("Location") != c.location {
			t.Errorf("%s: got %q, Location %q; want %q, %q", c.url, got, resp.Header.Get("Location"), c.want, c.location)
		}
		if s := resp.Header.Get("Server"); s != "" {
			t.Errorf("%s: Server: %s", c.url, s)
		}
	}
}

func TestRequestsWithoutAPath(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("off.test", echoOrigin(t))})
	for request, want := range map[string]string{
		"OPTIONS * HTTP/1.1\r\nHost: off.test\r\n\r\n":              "HTTP/1.1 200",
		"CONNECT off.test:443 HTTP/1.1\r\nHost: off.test\r\n\r\n":   "HTTP/1.1 501",
		"GET http://off.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n": "HTTP/1.1 400",
		"GET / HTTP/1.1\r\nHost: off.test:1234\r\n\r\n":             "HTTP/1.1 200",
		"GET / HTTP/1.1\r\nHost: OFF.Test.\r\n\r\n":                 "HTTP/1.1 200",
		"GET / HTTP/1.0\r\nHost: off.test\r\n\r\n":                  "HTTP/1.1 200",
		"GET / HTTP/1.1\r\n\r\n":                                    "HTTP/1.1 400",
		"GET / HTTP/1.0\r\n\r\n":                                    "HTTP/1.1 404",
	} {
		c := i.dial(t)
		_, _ = io.WriteString(c, request)
		line, _ := bufio.NewReader(c).ReadString('\n')
		if !strings.HasPrefix(line, want) {
			t.Errorf("%q: got %q, want %q", request, line, want)
		}
	}
}

// Before the first table, nobody can know that a site does not exist.
func TestBeforeTheFirstTable(t *testing.T) {
	t.Parallel()
	i := serve(t, nil)
	resp, _ := get(t, i.client(t), "http://off.test/")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("got %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

func TestNoCertificateYet(t *testing.T) {
	t.Parallel()
	o := echoOrigin(t)
	redirected := func(host string) *route.Route {
		return with(at(host, o), func(r *route.Route) { r.HTTPS = route.Redirect })
	}
	i := serve(t, []*route.Route{redirected("held.test"), redirected("fine.test"), at("off.test", o)})
	i.certs.held["held.test"] = "The CA said no."
	i.certs.held["off.test"] = "Nobody wants one."
	client := i.client(t)
	for _, url := range []string{"http://held.test/", "https://held.test/", "http://HELD.test:80/"} {
		resp, body := get(t, client, url)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "90" || !strings.Contains(body, "The CA said no.") {
			t.Errorf("%s: %d, Retry-After %q, %q", url, resp.StatusCode, resp.Header.Get("Retry-After"), body)
		}
	}
	for url, want := range map[string]int{"http://fine.test/": 308, "https://fine.test/": 200, "http://off.test/": 200} {
		if resp, _ := get(t, client, url); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", url, resp.StatusCode, want)
		}
	}
}

// A browser may send requests for one site over its HTTP/2 connection for another
// if the certificate covers both. That is fine if the site is ours, and 421 makes
// it open a connection of its own if not.
func TestCoalescedConnections(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t)), at("b.test", echoOrigin(t))})
	client := i.client(t)
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: i.certs.roots, ServerName: "a.test"}
	for host, want := range map[string]int{"a.test": 200, "A.test:443": 200, "b.test": 200, "unknown.test": 421} {
		req, _ := http.NewRequest(http.MethodGet, "https://a.test/", nil)
		req.Host = host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, resp.StatusCode, want)
		}
	}
	c := i.dialTLS(t, "a.test") // HTTP/1.1 does not coalesce
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("HTTP/1.1: %v, %v", resp, err)
	}
}

// With HTTPS switched off there is nowhere to redirect to.
func TestWithoutHTTPS(t *testing.T) {
	t.Parallel()
	o := echoOrigin(t)
	routes := []*route.Route{
		with(at("redirect.test", o), func(r *route.Route) { r.HTTPS = route.Redirect }),
		with(at("only.test", o), func(r *route.Route) { r.HTTPS = route.Only }),
	}
	i := serve(t, routes, withConfig(func(cfg *Config) { cfg.HTTPS, cfg.Certs = nil, nil }))
	client := i.client(t)
	for url, want := range map[string]int{"http://redirect.test/": 200, "http://only.test/": 404} {
		if resp, _ := get(t, client, url); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", url, resp.StatusCode, want)
		}
	}
	i = serve(t, routes, withConfig(func(cfg *Config) { cfg.HTTPS, cfg.Certs, cfg.HTTPSPort = nil, nil, 443 }))
	if resp, _ := get(t, i.client(t), "http://redirect.test/"); resp.Header.Get("Location") != "https://redirect.test/" {
		t.Errorf("HTTPS elsewhere: %d, %q", resp.StatusCode, resp.Header.Get("Location"))
	}
}

// A trusted proxy which terminates TLS in front of us must not be sent round in
// circles; nobody else can claim to have.
func TestHTTPSInFrontOfUs(t *testing.T) {
	t.Parallel()
	routes := []*route.Route{with(at("redirect.test", echoOrigin(t)), func(r *route.Route) { r.HTTPS = route.Redirect })}
	for _, c := range []struct {
		name          string
		options       []option
		header, value string
		want          int
	}{
		{"trusted", []option{trustLoopback}, "X-Forwarded-Proto", "https", 200},
		{"trusted, RFC 7239", []option{trustLoopback}, "Forwarded", "for=192.0.2.1;proto=https", 200},
		{"trusted, says http", []option{trustLoopback}, "X-Forwarded-Proto", "http", 308},
		{"trusted, says nonsense", []option{trustLoopback}, "X-Forwarded-Proto", "httpsx", 308},
		{"not trusted", nil, "X-Forwarded-Proto", "https", 308},
		{"not trusted, RFC 7239", nil, "Forwarded", "proto=https", 308},
	} {
		i := serve(t, routes, c.options...)
		if resp, _ := get(t, i.client(t), "http://redirect.test/", c.header, c.value); resp.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.name, resp.StatusCode, c.want)
		}
		i.certs.held["redirect.test"] = "No certificate, and none needed."
		if c.want == 200 {
			if resp, _ := get(t, i.client(t), "http://redirect.test/", c.header, c.value); resp.StatusCode != http.StatusOK {
				t.Errorf("%s, without a certificate of ours: %d", c.name, resp.StatusCode)
			}
		}
	}
}

func TestSiteName(t *testing.T) {
	t.Parallel()
	r := &route.Route{Hosts: []string{"a.test", "*.b.test"}}
	for in, want := range map[string]string{
		"a.test": "a.test", "A.Test:80": "a.test", "a.test.": "a.test", "a.test.:80": "a.test", "X.b.test:1": "x.b.test",
		"[::1]": "::1", "[::1]:80": "::1", "": "", ":80": "", "[": "[", "127.0.0.1:1": "127.0.0.1",
	} {
		if got := siteName([]byte(in), r); got != want {
			t.Errorf("siteName(%q) = %q, want %q", in, got, want)
		}
	}
}

// From the front to the origin's pool and back, we allocate nothing, also where a
// route with criteria is looked at before.
func TestServingDoesNotAllocate(t *testing.T) {
	f := newFakes(t)
	f.cfg.Certs = newTestCerts(t)
	f.pools["one:80"] = &fakePool{serve: func(ex *exchange.Exchange) error {
		ex.Response.Status = http.StatusOK
		return nil
	}}
	picky := route.NewParser(nil).Values("test", "picky", strings.Clone, label.Values{
		"host": "a.test", "path.regexp": "/.*", "match.method": "GET", "match.client": "192.0.2.0/24", "match.agent": "!bot", "match.cookie": "beta=~[a-z]+",
	}).Route
	picky.ID = "picky"
	f.set(picky, with(at("a.test", "one:80"), func(r *route.Route) { r.HTTPS = route.Redirect }))
	conn := &exchange.Conn{TLS: &tls.ConnectionState{ServerName: "a.test"}, Remote: netip.MustParseAddrPort("192.0.2.1:99")}
	method, authority, path := []byte(http.MethodGet), []byte("A.test:8443"), []byte("/x")
	ex := exchange.Get()
	work := func() {
		ex.Conn, ex.Memory = conn, ex.Memory[:0]
		ex.Request.Method, ex.Request.Authority, ex.Request.Path = method, authority, path
		ex.Request.Fields.AddString("Cookie", "a=b; beta=1")
		f.serve(ex)
		if ex.Response.Status != http.StatusOK {
			t.Errorf("status %d", ex.Response.Status)
		}
		ex.Finish(0, nil)
		exchange.Put(ex)
		ex = exchange.Get()
	}
	work()
	if n := testing.AllocsPerRun(1000, work); n > 0 && !raceDetector {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestRedirectDoesNotWaitForTheBody(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{with(at("redirect.test", deadAddress(t)), func(r *route.Route) { r.HTTPS = route.Redirect })})
	c := i.dial(t)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: redirect.test\r\nContent-Length: 1000000\r\n\r\nbegin")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("got %v, %v", resp, err)
	}
}
