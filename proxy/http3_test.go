package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"portway/proxy/exchange"
	"portway/route"
)

var withHTTP3 = withConfig(func(cfg *Config) { cfg.HTTP3 = true })

// client3 speaks HTTP/3 to i whatever the host in a URL.
func (i *instance) client3(t *testing.T) *http.Client {
	t.Helper()
	transport := &http3.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: i.certs.roots},
		DisableCompression: true,
		Dial: func(ctx context.Context, _ string, cfg *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, i.https, cfg, qc)
		},
	}
	t.Cleanup(func() { _ = transport.Close() })
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// What an origin sees of a request does not depend on how it came, and the
// client is known by its address.
func TestHTTP3(t *testing.T) {
	t.Parallel()
	type seen struct {
		method, uri, host, forwarded, body string
		length                             int64
	}
	requests := make(chan seen, 1)
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		from := r.Header.Get("X-Forwarded-For") + " " + r.Header.Get("X-Forwarded-Proto")
		requests <- seen{r.Method, r.RequestURI, r.Host, from, string(b), r.ContentLength}
		w.Header().Set("X-Origin", "yes")
		_, _ = io.WriteString(w, "hello")
	}))}, withHTTP3)
	c := i.client3(t)
	for _, tt := range []struct {
		method, body string
		length       int64 // -1: not told
	}{
		{"GET", "", 0},
		{"DELETE", "", 0},
		{"HEAD", "", 0},
		{"POST", "content", 7},
		{"POST", "content", -1},
		{"GET", "odd", -1},
	} {
		var body io.Reader
		if tt.body != "" {
			body = io.NopCloser(strings.NewReader(tt.body))
		}
		req, err := http.NewRequest(tt.method, "https://a.test/p%20q?x=1", body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = tt.length
		resp, err := c.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", tt.method, err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 3 || resp.Header.Get("X-Origin") != "yes" {
			t.Errorf("%s: %v %v %q", tt.method, resp, err, b)
		}
		if tt.method != "HEAD" && string(b) != "hello" {
			t.Errorf("%s: body %q", tt.method, b)
		}
		if got, want := <-requests, (seen{tt.method, "/p%20q?x=1", "a.test", "127.0.0.1 https", tt.body, tt.length}); got != want {
			t.Errorf("the origin saw\n%+v, want\n%+v", got, want)
		}
	}
}

// Answers by TCP tell about HTTP/3, with the port that clients reach, and only
// where there is HTTP/3.
func TestAltSvc(t *testing.T) {
	t.Parallel()
	origin := originAt(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Alt-Svc", "origin") })
	secure := with(at("b.test", origin), func(r *route.Route) { r.HTTPS = route.Redirect })
	for _, tt := range []struct {
		name string
		on   bool
		port int // Config.HTTPSPort
		want string
	}{
		{"on", true, 0, `h3=":PORT"; ma=86400`},
		{"mapped", true, 8443, `h3=":8443"; ma=86400`},
		{"off", false, 0, "origin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			i := serve(t, []*route.Route{secure}, withConfig(func(cfg *Config) { cfg.HTTP3, cfg.HTTPSPort = tt.on, tt.port }))
			_, port, _ := net.SplitHostPort(i.https)
			want := strings.ReplaceAll(tt.want, "PORT", port)
			for _, c := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
				resp, _ := get(t, c, "https://b.test/")
				if got := resp.Header.Values("Alt-Svc"); len(got) != 1 || got[0] != want {
					t.Errorf("%s: Alt-Svc %q, want %q", resp.Proto, got, want)
				}
			}
			resp, _ := get(t, i.client(t), "http://b.test/")
			if got := resp.Header.Get("Alt-Svc"); got != "" {
				t.Errorf("plain HTTP: Alt-Svc %q", got)
			}
		})
	}
}

// Telling about HTTP/3 costs requests that came without it no memory.
func TestAdvertiseAllocates(t *testing.T) {
	ex := exchange.Get()
	ex.Conn = &exchange.Conn{AltSvc: exchange.NewLine("Alt-Svc", "h3")}
	ex.Response.Status = 200
	if n := testing.AllocsPerRun(100, func() {
		ex.Response.Fields.Reset()
		advertise(ex)
	}); n != 0 || string(ex.Response.Fields.Get("alt-svc")) != "h3" {
		t.Errorf("%v allocations", n)
	}
}

// Large bodies arrive whole in both directions.
func TestHTTP3LargeBodies(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			h := sha256.New()
			n, err := io.Copy(h, r.Body)
			_, _ = fmt.Fprintf(w, "%d %v %x", n, err, h.Sum(nil))
			return
		}
		_, _ = w.Write(content)
	}))}, withHTTP3)
	c := i.client3(t)
	resp, err := c.Get("https://a.test/")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("download: %d bytes, %v", len(got), err)
	}
	want := fmt.Sprintf("%d <nil> %x", size, sha256.Sum256(content))
	for _, length := range []int64{size, -1} {
		req, _ := http.NewRequest(http.MethodPost, "https://a.test/", io.NopCloser(bytes.NewReader(content)))
		req.ContentLength = length
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != want {
			t.Errorf("upload of length %d: %q %v", length, b, err)
		}
	}
}

// gRPC needs both directions at once, and trailers, through to an origin that
// speaks HTTP/2.
func TestHTTP3Trailers(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{with(at("a.test", originH2C(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		control := http.NewResponseController(w)
		_ = control.Flush()
		b := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				break
			}
			_, _ = w.Write(b)
			_ = control.Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", r.Header.Get("Te"))
	})), func(r *route.Route) { r.Upstreams[0].Scheme = route.H2C })}, withHTTP3)
	body, w := io.Pipe()
	req, _ := http.NewRequest(http.MethodPost, "https://a.test/s/m", body)
	req.Header.Set("Te", "trailers")
	resp, err := i.client3(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"ping", "pong", "fine"} { // one message waits for the other
		_, _ = io.WriteString(w, m)
		b := make([]byte, 4)
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != m {
			t.Fatalf("%q %v, want %q", b, err, m)
		}
	}
	_ = w.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || len(b) > 0 {
		t.Errorf("%q %v", b, err)
	}
	if s, m := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message"); s != "0" || m != "trailers" {
		t.Errorf("trailers %v", resp.Trailer)
	}
}

func TestHTTP3RequestTrailers(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Trailer.Get("Sum"))
	}))}, withHTTP3)
	req, _ := http.NewRequest(http.MethodPost, "https://a.test/", io.NopCloser(strings.NewReader("content")))
	req.Trailer = http.Header{"Sum": {"42"}}
	resp, err := i.client3(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "42" {
		t.Errorf("the origin got trailer %q, %v", b, err)
	}
}

// A client that gives up a request has its origin told.
func TestHTTP3Cancel(t *testing.T) {
	t.Parallel()
	begun, told := make(chan struct{}, 1), make(chan struct{}, 1)
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
		told <- struct{}{}
	}))}, withHTTP3)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://a.test/", nil)
	if _, err := i.client3(t).Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Error("the origin was not told")
	}
}

// What breaks off does not look as if it were complete.
func TestHTTP3CutOff(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", rawOrigin(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	}))}, withHTTP3)
	resp, err := i.client3(t).Get("https://a.test/")
	if err != nil {
		return // already its head was lost, as a reset may do
	}
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q is taken for complete", b)
	}
}

// Requests in flight finish when Portway stops.
func TestHTTP3Drain(t *testing.T) {
	t.Parallel()
	h := newHeld()
	i := serve(t, []*route.Route{at("a.test", originAt(t, h.ServeHTTP))}, withHTTP3)
	body := make(chan string, 1)
	go func() {
		resp, err := i.client3(t).Get("https://a.test/")
		if err != nil {
			body <- err.Error()
			return
		}
		b, err := io.ReadAll(resp.Body)
		body <- fmt.Sprint(string(b), " ", err)
	}()
	<-h.begun
	ended := make(chan error, 1)
	go func() { ended <- i.stop() }()
	select {
	case err := <-ended:
		t.Fatalf("Run ended with a request in flight: %v", err)
	case <-time.After(2 * farewell):
	}
	close(h.release)
	if b := <-body; b != "first half, second half <nil>" {
		t.Errorf("the request in flight got %q", b)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A request that does not end is cut off, and Run says so.
func TestHTTP3DrainLimit(t *testing.T) {
	t.Parallel()
	h := newHeld()
	i := serve(t, []*route.Route{at("a.test", originAt(t, h.ServeHTTP))}, withHTTP3,
		withConfig(func(cfg *Config) { cfg.Drain = 300 * time.Millisecond }))
	resp, err := i.client3(t).Get("https://a.test/")
	if err != nil {
		t.Fatal(err)
	}
	<-h.begun
	if err := i.stop(); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("Run: %v", err)
	}
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q is taken for complete", b)
	}
}

// A target that an HTTP/1.1 origin could read in two ways goes nowhere.
func TestHTTP3Target(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the origin got %s", r.RequestURI)
	}))}, withHTTP3)
	for _, target := range []string{"/a b", "/a#b", "/?a b", "/\u00e9"} {
		req, _ := http.NewRequest(http.MethodGet, "https://a.test/", nil)
		path, query, _ := strings.Cut(target, "?")
		req.URL.Opaque, req.URL.RawQuery = path, query
		resp, err := i.client3(t).Do(req)
		if err != nil {
			continue // refused by quic-go
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %d", target, resp.StatusCode)
		}
	}
}

// A UDP port that is taken costs HTTP/3, and nothing else.
func TestUDPInUse(t *testing.T) {
	t.Parallel()
	l, err := Listen(nil, []string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(l.HTTPS()[0])); err == nil { // else it is taken anyway
		defer func() { _ = taken.Close() }()
	}
	var log logBuffer
	l.OpenHTTP3(slog.New(slog.NewTextHandler(&log, nil)))
	i := serve(t, []*route.Route{with(at("a.test", echoOrigin(t)), func(r *route.Route) { r.HTTPS = route.Redirect })},
		withConfig(func(cfg *Config) { cfg.Listeners = l }))
	if resp, _ := get(t, i.client(t), "https://a.test/"); resp.StatusCode != 200 || resp.Header.Get("Alt-Svc") != "" {
		t.Errorf("got %v", resp)
	}
	if log := log.String(); !strings.Contains(log, "no HTTP/3") || !strings.Contains(log, "http3: false") {
		t.Errorf("log: %s", log)
	}
}

// Beyond a rate, clients have to prove their address; a second later they have
// not.
func TestRush(t *testing.T) {
	t.Parallel()
	var r rush
	over := 0
	for range 3 * rushRate / 2 {
		if r.over(nil) {
			over++
		}
	}
	if over < 1 || over > rushRate/2 {
		t.Errorf("%d were asked", over)
	}
	r.second = r.second.Add(-time.Second)
	if r.over(nil) {
		t.Error("still asked")
	}
}
