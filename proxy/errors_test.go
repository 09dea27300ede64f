package proxy

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/balance"
	"portway/proxy/exchange"
	"portway/proxy/origintls"
	"portway/route"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each page in each format, as a whole response. The files in testdata/pages are
// what a visitor sees.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		name string
		page page
	}{
		{"no-such-site", page{status: 404, title: "No such site", why: `There is no site by the name of <b>"x"&</b>.test here.`}},
		{"unreachable", page{status: 502, why: "The site cannot be reached at the moment."}},
		{"starting", page{status: 503, why: "The site is starting.", retry: 1500 * time.Millisecond}},
		{"slow", page{status: 504, why: "The site took too long to answer."}},
	} {
		for format, accept := range map[string]string{
			"html": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json": "application/json", "text": "*/*",
		} {
			t.Run(p.name+"."+format, func(t *testing.T) {
				t.Parallel()
				f := newFakes(t)
				ex := exchange.Get()
				defer exchange.Put(ex)
				ex.Request.Fields.AddString("Accept", accept)
				f.fail(ex, p.page, nil)
				var b strings.Builder
				_, _ = fmt.Fprintf(&b, "%d\n", ex.Response.Status)
				for n, v := range ex.Response.Fields.All() {
					_, _ = fmt.Fprintf(&b, "%s: %s\n", n, v)
				}
				content, _ := io.ReadAll(ex.Response.Body)
				if int64(len(content)) != ex.Response.Length {
					t.Errorf("length %d, content %d", ex.Response.Length, len(content))
				}
				got := strings.ReplaceAll(b.String()+"\n"+string(content), ex.RequestID(), "0123456789abcdef")
				golden(t, filepath.Join("testdata", "pages", p.name+"."+format), got)
			})
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (run with -update if it is meant):\ngot\n%s\nwant\n%s", file, got, want)
	}
}

var requestID = regexp.MustCompile(`[0-9a-f]{16}`)

// Every failure, on the wire: status, request ID in page, header and log, the
// reason in the log, and nothing of the inside in what the visitor gets.
func TestFailures(t *testing.T) {
	t.Parallel()
	dead := deadAddress(t)
	garbage := rawOrigin(t, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") })
	closes := rawOrigin(t, func(c net.Conn) { _, _ = bufio.NewReader(c).ReadString('\n') })
	panics := with(at("panics.test", dead), func(r *route.Route) {
		r.Middleware = []label.Binder{&binder{wrap: func(exchange.Handler) exchange.Handler {
			return exchange.HandlerFunc(func(ex *exchange.Exchange) {
				ex.Response.Fields.AddString("X-Half-Done", "1")
				panic("oops at " + dead)
			})
		}}}
	})
	i := serve(t, []*route.Route{
		at("dead.test", dead), at("garbage.test", garbage), at("closes.test", closes), panics,
		with(at("down.test", dead), func(r *route.Route) { r.Upstreams[0].State = route.Stopped }),
		with(at("path.test", dead), func(r *route.Route) { r.Path = "/api" }),
	})
	client := i.client(t)
	for _, c := range []struct {
		url    string
		status int
		why    string
		log    string
	}{
		{"http://nobody.test/", 404, "There is no site by the name of nobody.test here.", "status=404"},
		{"https://path.test/", 404, "The site path.test has nothing at this path.", "status=404"},
		{"https://dead.test/", 502, "The site cannot be reached at the moment.", "connection refused"},
		{"https://garbage.test/", 502, "The site broke off without a proper answer.", "container " + garbage},
		{"https://closes.test/", 502, "The site broke off without a proper answer.", "container " + closes},
		{"https://down.test/", 503, "The site is stopped.", "is stopped"},
		{"https://panics.test/", 500, "Portway ran into an error of its own.", "oops at"},
	} {
		resp, body := get(t, client, c.url+"?token=secret", "Accept", "application/json")
		var page struct {
			Status    int
			Detail    string
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Errorf("%s: %v in %q", c.url, err, body)
			continue
		}
		if resp.StatusCode != c.status || page.Status != c.status || page.Detail != c.why {
			t.Errorf("%s: %d, %+v; want %d, %q", c.url, resp.StatusCode, page, c.status, c.why)
		}
		if !requestID.MatchString(page.RequestID) || resp.Header.Get("X-Request-Id") != page.RequestID {
			t.Errorf("%s: request ID %q, header %q", c.url, page.RequestID, resp.Header.Get("X-Request-Id"))
		}
		var logged bool
		for line := range strings.SplitSeq(i.log.String(), "\n") {
			logged = logged || strings.Contains(line, page.RequestID) && strings.Contains(line, c.log)
		}
		if !logged {
			t.Errorf("%s: no log line has both %s and %q", c.url, page.RequestID, c.log)
		}
		for _, inside := range []string{"127.0.0.1", "container", "Go-http", "Portway/", "oops"} {
			if strings.Contains(body, inside) {
				t.Errorf("%s: the page tells %q", c.url, inside)
			}
		}
		for _, h := range []string{"Server", "X-Powered-By", "X-Half-Done"} {
			if v := resp.Header.Get(h); v != "" {
				t.Errorf("%s: %s: %s", c.url, h, v)
			}
		}
	}
	if strings.Contains(i.log.String(), "secret") {
		t.Error("the log holds a query")
	}
	if !strings.Contains(i.log.String(), "errors_test.go") {
		t.Error("the panic was logged without its stack")
	}
}

func TestSlowOriginIs504(t *testing.T) {
	t.Parallel()
	hangs := rawOrigin(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	i := serve(t, []*route.Route{at("slow.test", hangs)}, withServer(func(s *Server) {
		s.replicas.dial = func(u route.Upstream, _ balance.Timeouts, _ origintls.Options) transport {
			return poolWith(u, 300*time.Millisecond)
		}
	}))
	resp, body := get(t, i.client(t), "https://slow.test/")
	if resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(body, "The site took too long to answer.") {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

// What is wrong after the head cannot become a page any more: the client must
// see that the response is incomplete, and the log say why.
func TestOriginBreaksOffInTheMiddle(t *testing.T) {
	t.Parallel()
	o := rawOrigin(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
	})
	i := serve(t, []*route.Route{at("breaks.test", o)})
	for _, client := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
		resp, err := client.Get("https://breaks.test/")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err == nil || string(b) != "half" {
			t.Errorf("%s: got %q, %v", resp.Proto, b, err)
		}
	}
	if err := i.stop(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(i.log.String(), "a response broke off in the middle"); n != 2 {
		t.Errorf("%d log lines, want 2", n)
	}
}

// A panic while a body is streamed ends that response only.
func TestPanicInABody(t *testing.T) {
	t.Parallel()
	r := at("panics.test", echoOrigin(t))
	r.Middleware = []label.Binder{&binder{wrap: func(next exchange.Handler) exchange.Handler {
		return exchange.HandlerFunc(func(ex *exchange.Exchange) {
			next.Serve(ex)
			if ex.Request.HasQuery {
				_ = ex.Response.Body.Close()
				ex.Response.Body = panicBody{}
			}
		})
	}}}
	i := serve(t, []*route.Route{r})
	client := i.client(t)
	if resp, err := client.Get("https://panics.test/?"); err == nil {
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("the response looks complete")
		}
	}
	if resp, _ := get(t, client, "https://panics.test/"); resp.StatusCode != http.StatusOK {
		t.Errorf("the next request got %d", resp.StatusCode)
	}
	if err := i.stop(); err != nil {
		t.Error(err)
	}
	if log := i.log.String(); !strings.Contains(log, "body panic") || !strings.Contains(log, "errors_test.go") {
		t.Error("the panic is not in the log")
	}
}

type panicBody struct{}

func (panicBody) Read([]byte) (int, error) { panic("body panic") }
func (panicBody) Close() error             { return nil }

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a.test": "a.test", "": "(no name)", "a\r\nb\xff\x00": "a??b??", strings.Repeat("x", 200): strings.Repeat("x", 100) + "...",
	} {
		if got := text([]byte(in)); got != want {
			t.Errorf("text(%q) = %q", in, got)
		}
	}
}
