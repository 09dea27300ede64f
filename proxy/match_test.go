package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"portway/internal/routetest"
	"portway/route"
)

// The golden cases of package route through a listener: what the front makes of a
// request is what routes are found by.
func TestMatchingThroughListener(t *testing.T) {
	t.Parallel()
	for _, c := range routetest.Read(t, "../route/testdata") {
		if slices.ContainsFunc(c.Routes, func(r *route.Route) bool { return r.Role != route.None }) {
			continue // who gets a request is left to chance
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for _, r := range c.Routes {
				origin := originAt(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Route", r.Name) })
				r.HTTPS = route.Off
				r.Upstreams = []route.Upstream{{ID: r.ID, Network: "tcp", Address: origin, Scheme: route.HTTP}}
			}
			i := serve(t, c.Routes, withConfig(func(cfg *Config) {
				cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
				if c.Places != nil {
					cfg.Places = c.Places
				}
			}))
			conn := i.dial(t)
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			answers := bufio.NewReader(conn)
			client := i.client(t)
			for _, q := range c.Requests {
				if got := askOver(t, conn, answers, q); got != q.Want {
					t.Errorf("%s\ngoes to %s", q.Line, got)
				}
				if got := askHTTP2(t, client, q); got != q.Want {
					t.Errorf("over HTTP/2, %s\ngoes to %s", q.Line, got)
				}
			}
		})
	}
}

// askHTTP2 sends a request on a connection that was opened for another name.
func askHTTP2(t *testing.T, client *http.Client, q routetest.Request) string {
	t.Helper()
	target := "//" + q.Host + q.Path
	if q.HasQuery {
		target += "?" + q.Query
	}
	req := &http.Request{
		Method: q.Method, Host: q.Host, URL: &url.URL{Scheme: "https", Host: "any.test", Opaque: target},
		Header: http.Header{"User-Agent": {""}}, // not that of this client
	}
	for _, f := range q.Fields {
		if f[0] == "User-Agent" {
			req.Header.Del(f[0])
		}
		req.Header.Add(f[0], f[1])
	}
	if q.From.IsValid() {
		req.Header.Set("X-Forwarded-For", q.From.String())
	}
	resp, err := client.Do(req.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.ProtoMajor != 2 {
		t.Fatal(resp.Proto, err)
	}
	if resp.StatusCode == http.StatusMisdirectedRequest {
		return "unknown"
	}
	return answeredBy(resp, string(body))
}

// answeredBy tells whose answer it is.
func answeredBy(resp *http.Response, body string) string {
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.Header.Get("X-Route")
	case strings.Contains(body, "No such page"):
		return "404"
	case strings.Contains(body, "No such site"):
		return "unknown"
	default:
		return resp.Status + body
	}
}

// askOver sends a request and tells who answered.
func askOver(t *testing.T, conn net.Conn, answers *bufio.Reader, q routetest.Request) string {
	t.Helper()
	var b strings.Builder
	target := q.Path
	if q.HasQuery {
		target += "?" + q.Query
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.Method, target, q.Host)
	for _, f := range q.Fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	if q.From.IsValid() {
		fmt.Fprintf(&b, "X-Forwarded-For: %s\r\n", q.From)
	}
	if _, err := io.WriteString(conn, b.String()+"\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(answers, &http.Request{Method: q.Method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answeredBy(resp, string(body))
}
