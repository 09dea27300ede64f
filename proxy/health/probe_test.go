package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"portway/label"
	"portway/proxy/upstream"
)

// once checks once, with 5 s for it.
func once(t *testing.T, o Options, target Target) error {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), o.timeout, errSlow)
	defer cancel()
	return probe(ctx, &o, &target)
}

func at(scheme, address string) Target {
	return Target{Name: "app", Upstream: upstream.Config{Network: "tcp", Address: address, Scheme: scheme}}
}

// want compares an error with what it should say; "" is none.
func want(t *testing.T, err error, says string) {
	t.Helper()
	switch {
	case says == "" && err != nil:
		t.Errorf("does not pass: %v", err)
	case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
		t.Errorf("got %v, want: %s", err, says)
	}
}

// server answers by what is asked for.
func server(t *testing.T, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.UserAgent() != userAgent || r.Method != http.MethodGet:
			w.WriteHeader(http.StatusBadRequest)
		case r.URL.Path == "/host":
			if r.Host != r.URL.RawQuery {
				w.WriteHeader(http.StatusMisdirectedRequest)
			}
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case r.URL.Path == "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/large":
			_, _ = w.Write(make([]byte, 1<<20))
		case r.URL.Path == "/slow":
			<-r.Context().Done()
		case r.URL.Path == "/proto":
			if r.Proto != r.URL.RawQuery {
				w.WriteHeader(http.StatusHTTPVersionNotSupported)
			}
		case r.URL.Path != "/":
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	start(s)
	t.Cleanup(s.Close)
	return s
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	s := server(t, (*httptest.Server).Start)
	address := s.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	for _, c := range []struct {
		name   string
		values label.Values
		target Target
		says   string
	}{
		{"all is well", label.Values{"health": "http"}, at("http", address), ""},
		{"an error", label.Values{"health.path": "/down"}, at("http", address), "GET /down at " + address + ": the answer is 503 Service Unavailable, and not 200-399"},
		{"no such path", label.Values{"health.path": "/healtz"}, at("http", address), "404 Not Found"},
		{"a redirect is not followed", label.Values{"health.path": "/moved"}, at("http", address), ""},
		{"a redirect that is not wanted", label.Values{"health.path": "/moved", "health.status": "200-299"}, at("http", address), "302 Found, and not 200-299"},
		{"an error that is wanted", label.Values{"health.path": "/down", "health.status": "503"}, at("http", address), ""},
		{"the content does not matter", label.Values{"health.path": "/large"}, at("http", address), ""},
		{"the address as Host", label.Values{"health.path": "/host?" + address}, at("http", address), ""},
		{"a host of the user's", label.Values{"health.path": "/host?b.test:1", "health.host": "b.test:1"}, at("http", address), ""},
		{"another port", label.Values{"health": "http", "health.port": port}, at("http", "127.0.0.1:1"), ""},
		{"too slow", label.Values{"health.path": "/slow", "health.timeout": "100ms"}, at("http", address), "no answer within 100ms"},
		{"refused", label.Values{"health": "http"}, at("http", closed(t)), "connection refused"},
		{"it speaks HTTP/1.1", label.Values{"health.path": "/proto?HTTP/1.1"}, at("http", address), ""},
		{"no h2c there", label.Values{"health": "http"}, at("h2c", address), "set portway.scheme: http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want(t, once(t, options(t, c.values), c.target), c.says)
		})
	}
}

// The route's host is what a user would write, unless there is one.
func TestWithHost(t *testing.T) {
	t.Parallel()
	s := server(t, (*httptest.Server).Start)
	target := at("http", s.Listener.Addr().String())
	want(t, once(t, options(t, label.Values{"health.path": "/host?app.test"}).WithHost("app.test"), target), "")
	want(t, once(t, options(t, label.Values{"health.path": "/host?b.test", "health.host": "b.test"}).WithHost("app.test"), target), "")
	if o := options(t, label.Values{"health": "tcp"}); o.WithHost("app.test") != o {
		t.Error("a check by TCP has a host")
	}
}

func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// The check speaks to the replica as requests do.
func TestSchemes(t *testing.T) {
	t.Parallel()
	h2c := server(t, func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	})
	want(t, once(t, options(t, label.Values{"health.path": "/proto?HTTP/2.0"}), at("h2c", h2c.Listener.Addr().String())), "")

	for proto, start := range map[string]func(s *httptest.Server){
		"HTTP/1.1": (*httptest.Server).StartTLS,
		"HTTP/2.0": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		s := server(t, start)
		target := at("https", s.Listener.Addr().String())
		o := options(t, label.Values{"health.path": "/proto?" + proto})
		want(t, once(t, o, target), "connect by TLS to")
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		target.Upstream.TLS = &tls.Config{RootCAs: roots}
		want(t, once(t, o, target), "")
	}

	socket := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server(t, func(s *httptest.Server) {
		_ = s.Listener.Close()
		s.Listener = l
		s.Start()
	})
	target := Target{Upstream: upstream.Config{Network: "unix", Address: socket, Scheme: "http"}}
	want(t, once(t, options(t, label.Values{"health.path": "/host?localhost"}), target), "")
	want(t, once(t, options(t, label.Values{"health": "tcp"}), target), "")
}

func TestTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, label.Values{"health": "tcp"})
	want(t, once(t, o, at("https", l.Addr().String())), "")
	_ = l.Close()
	want(t, once(t, o, at("http", l.Addr().String())), "connect to "+l.Addr().String()+": connect: connection refused")
}

// grpcServer is google.golang.org/grpc's server with its health service.
func grpcServer(t *testing.T, with ...grpc.ServerOption) (*grpchealth.Server, string) {
	t.Helper()
	s := grpc.NewServer(with...)
	h := grpchealth.NewServer()
	grpc_health_v1.RegisterHealthServer(s, h)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return h, l.Addr().String()
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	h, address := grpcServer(t)
	whole := options(t, label.Values{"health": "grpc"})
	orders := options(t, label.Values{"health": "grpc", "health.service": "shop.v1.Orders"})
	for _, scheme := range []string{"http", "h2c"} { // the first cannot carry gRPC
		want(t, once(t, whole, at(scheme, address)), "")
	}
	want(t, once(t, orders, at("h2c", address)), "grpc.health.v1 at "+address+": the server does not know that service (health.service)")
	h.SetServingStatus("shop.v1.Orders", grpc_health_v1.HealthCheckResponse_SERVING)
	want(t, once(t, orders, at("h2c", address)), "")
	h.SetServingStatus("shop.v1.Orders", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	want(t, once(t, orders, at("h2c", address)), "the service is NOT_SERVING")
	want(t, once(t, whole, at("h2c", address)), "")
	h.Shutdown()
	want(t, once(t, whole, at("h2c", address)), "the service is NOT_SERVING")
}

func TestGRPCOverTLS(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(http.NotFoundHandler()) // for its certificate
	web.StartTLS()
	t.Cleanup(web.Close)
	_, address := grpcServer(t, grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])))
	target := at("https", address)
	target.Upstream.TLS = &tls.Config{InsecureSkipVerify: true}
	want(t, once(t, options(t, label.Values{"health": "grpc"}), target), "")
}

// Servers that are not what was meant say so.
func TestNotGRPC(t *testing.T) {
	t.Parallel()
	bare := grpc.NewServer()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = bare.Serve(l) }()
	t.Cleanup(bare.Stop)
	o := options(t, label.Values{"health": "grpc"})
	want(t, once(t, o, at("h2c", l.Addr().String())), "does not offer grpc.health.v1.Health; register it there, or use health: tcp")

	answer := func(h http.HandlerFunc) string {
		s := httptest.NewUnstartedServer(h)
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	for says, h := range map[string]http.HandlerFunc{
		"has the HTTP status 404, so it is not from a gRPC server": http.NotFound,
		"has no grpc-status":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) },
		"is longer than 4096":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) },
		"no HealthCheckResponse": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Grpc-Status", "0") },
		`grpc-status "14" "busy"`: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Grpc-Status", "14")
			w.Header().Set("Grpc-Message", "busy")
		},
	} {
		want(t, once(t, o, at("h2c", answer(h))), says)
	}
}

func FuzzGRPCAnswer(f *testing.F) {
	for _, b := range []string{"", "\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x02\x08\x01", "\x00\x00\x00\x00\x02\x08\x80", "\x01\x00\x00\x00\x02\x08\x01", "\x00\xff\xff\xff\xff", "\x00\x00\x00\x00\x05\x12\x01a\x08\x02"} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		status, err := grpcAnswer(b)
		if err == nil && len(b) == frameHead && status != 0 {
			t.Errorf("an empty message has status %d", status)
		}
	})
}

func TestGRPCAnswer(t *testing.T) {
	t.Parallel()
	for b, want := range map[string]uint64{
		"\x00\x00\x00\x00\x00":                  0,
		"\x00\x00\x00\x00\x02\x08\x01":          1,
		"\x00\x00\x00\x00\x05\x12\x01a\x08\x02": 2, // behind a field that is newer than us
	} {
		if got, err := grpcAnswer([]byte(b)); got != want || err != nil {
			t.Errorf("%q is %d, want %d: %v", b, got, want, err)
		}
	}
}

// Whatever a check meets, nothing of it is left when it is over. Not parallel: it
// counts goroutines.
func TestNothingIsLeft(t *testing.T) {
	s := server(t, (*httptest.Server).Start)
	h2c := server(t, func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	})
	_, grpcAddress := grpcServer(t)
	before := ours()
	var all []*Checker
	for _, c := range []struct {
		values label.Values
		target Target
	}{
		{label.Values{"health": "http"}, at("http", s.Listener.Addr().String())},
		{label.Values{"health.path": "/large"}, at("http", s.Listener.Addr().String())},
		{label.Values{"health.path": "/slow"}, at("http", s.Listener.Addr().String())},
		{label.Values{"health.path": "/large"}, at("h2c", h2c.Listener.Addr().String())},
		{label.Values{"health.path": "/slow"}, at("h2c", h2c.Listener.Addr().String())},
		{label.Values{"health": "grpc"}, at("h2c", grpcAddress)},
		{label.Values{"health": "grpc"}, at("h2c", s.Listener.Addr().String())},
	} {
		c.values["health.timeout"] = "200ms"
		checker := Start(options(t, c.values), c.target, slog.New(slog.DiscardHandler), func(*Checker) {})
		all = append(all, checker)
	}
	for _, c := range all {
		<-c.First()
	}
	for _, c := range all {
		c.Stop()
		c.Wait()
	}
	deadline := time.Now().Add(5 * time.Second)
	for ours() > before {
		if time.Now().After(deadline) {
			b := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, ours(), b[:runtime.Stack(b, true)])
		}
		time.Sleep(10 * time.Millisecond) // goroutines end when they like
	}
}

// ours counts goroutines on the client's side of HTTP.
func ours() int {
	b := make([]byte, 4<<20)
	stacks := string(b[:runtime.Stack(b, true)])
	n := 0
	for g := range strings.SplitSeq(stacks, "\n\n") {
		if strings.Contains(g, "portway/proxy/") && !strings.Contains(g, "testing.tRunner") || strings.Contains(g, "http2.(*ClientConn)") || strings.Contains(g, "http2.(*clientConn") {
			n++
		}
	}
	return n
}
