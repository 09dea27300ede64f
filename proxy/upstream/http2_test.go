package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// countingListener counts what it accepts.
type countingListener struct {
	net.Listener
	accepted *atomic.Int32
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

// listen2 starts net/http's server with TLS, and HTTP/2 if h2 says so.
func listen2(t testing.TB, h2 bool, handle http.HandlerFunc) *origin {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(h2)
	cert := testCA().issue(t, time.Now().Add(time.Hour), false)
	return serveHTTP(t, &http.Server{
		Handler: handle, Protocols: &protocols,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
	}, func(s *http.Server, l net.Listener) error { return s.ServeTLS(l, "", "") })
}

// listenH2C starts net/http's server for HTTP/2 with prior knowledge.
func listenH2C(t testing.TB, handle http.HandlerFunc) *origin {
	t.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return serveHTTP(t, &http.Server{Handler: handle, Protocols: &protocols}, (*http.Server).Serve)
}

func serveHTTP(t testing.TB, s *http.Server, serve func(*http.Server, net.Listener) error) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	o := &origin{Listener: l}
	o.serving.Go(func() { _ = serve(s, countingListener{l, &o.accepted}) })
	t.Cleanup(func() {
		_ = s.Close()
		o.serving.Wait()
	})
	return o
}

func TestH2C(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		ex     func() *exchange.Exchange
		handle http.HandlerFunc
		want   result
	}{
		{"GET", func() *exchange.Exchange {
			ex := newExchange("GET", "//a%2fb?c=%zz")
			ex.Request.Fields.AddString("x-a", "1")
			ex.Request.Fields.AddString("X-A", "2")
			ex.Request.Fields.AddString("Cookie", "a=1; b=2")
			return ex
		}, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["X-B"] = []string{"3", "4"}
			_, _ = fmt.Fprintf(w, "%s %s %s %s %s", r.Proto, r.Host, r.RequestURI, r.Header["X-A"], r.Header["Cookie"])
			if ua := r.UserAgent(); ua != "" {
				_, _ = fmt.Fprint(w, ua)
			}
		}, result{status: 200, body: "HTTP/2.0 app.example //a%2fb?c=%zz [1 2] [a=1; b=2]", length: 51, fields: "content-type=text/plain x-b=3 x-b=4"}},
		{"HEAD", func() *exchange.Exchange { return newExchange("HEAD", "/") }, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "77")
		}, result{status: 200, length: 77}},
		{"204", func() *exchange.Exchange { return newExchange("DELETE", "/") }, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}, result{status: 204}},
		{"304", func() *exchange.Exchange { return newExchange("GET", "/") }, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotModified)
		}, result{status: 304, length: -1}},
		{"empty", func() *exchange.Exchange { return newExchange("GET", "/") }, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
		}, result{status: 200}},
		{"POST", func() *exchange.Exchange { return withBody(newExchange("POST", "/"), "hello") }, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		}, result{status: 200, body: "hello", length: 5, fields: "content-type=text/plain"}},
		{"trailers", func() *exchange.Exchange {
			ex := newExchange("GET", "/")
			ex.Request.TETrailers = true
			return ex
		}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hello")
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			w.Header().Set(http.TrailerPrefix+"Te", r.Header.Get("Te"))
			w.Header().Set(http.TrailerPrefix+"Seen", r.Header.Get("Te"))
		}, result{status: 200, body: "hello", length: 5, trailers: "grpc-status=0 seen=trailers", fields: "content-type=text/plain"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := listenH2C(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Date"] = nil
				w.Header().Set("Content-Type", "text/plain")
				tt.handle(w, r)
			})
			p := o.pool(t, Config{Scheme: "h2c"})
			for range 3 {
				res := run(p, tt.ex())
				res.fields = strings.TrimPrefix(res.fields, "content-type=text/plain ")
				want := tt.want
				want.fields = strings.TrimPrefix(want.fields, "content-type=text/plain ")
				if tt.want.body == "" {
					res.fields, want.fields = "", ""
				}
				if res != want {
					t.Errorf("got  %+v\nwant %+v", res, want)
				}
			}
			if n := o.accepted.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestH2CInterim(t *testing.T) {
	t.Parallel()
	p := listenH2C(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		_, _ = io.WriteString(w, "ok")
	}).pool(t, Config{Scheme: "h2c"})
	f := &front{}
	ex := newExchange("GET", "/")
	ex.Front = f
	if res := run(p, ex); res.body != "ok" || res.err != nil {
		t.Errorf("%+v", res)
	}
	if got := f.String(); got != "103 link=</a>; 102 link=</a>" {
		t.Error(got)
	}
}

// As gRPC does: both directions flow at once, and trailers end it.
func TestH2CTwoWayStreaming(t *testing.T) {
	t.Parallel()
	p := listenH2C(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		flush := http.NewResponseController(w)
		_ = flush.Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = flush.Flush()
			if err != nil {
				break
			}
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "a=b") // belongs to heads
	}).pool(t, Config{Scheme: "h2c"})
	ex, w := withPipe(newExchange("POST", "/"))
	if err := p.RoundTrip(ex); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, s := range []string{"hello", "world"} {
		if _, err := io.WriteString(w, s); err != nil {
			t.Fatal(err)
		}
		n, err := ex.Response.Body.Read(buf)
		if got := string(buf[:n]); got != s || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	_ = w.Close()
	if n, err := ex.Response.Body.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
	if got := flat(&ex.Response.Trailers); got != "grpc-status=0" {
		t.Errorf("trailers %s", got)
	}
	ex.Finish(10, nil)
}

func TestH2CCancel(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 1)
	head := make(chan bool, 1)
	p := listenH2C(t, func(w http.ResponseWriter, r *http.Request) {
		if <-head {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		gone <- struct{}{}
	}).pool(t, Config{Scheme: "h2c"})
	for _, with := range []bool{false, true} {
		head <- with
		ex, _ := withPipe(newExchange("POST", "/"))
		done := make(chan error, 1)
		go func() {
			res := run(p, ex)
			done <- errors.Join(res.err, res.bodyErr)
		}()
		phase := awaitHead
		if with {
			phase = awaitBody
		}
		eventually(t, "waiting", func() bool { return p.waiting(phase, asking) })
		ex.Cancel(exchange.ErrClientGone)
		wantErr(t, <-done, exchange.ErrClientGone, "given up")
		<-gone
	}
	if s := p.Stats(); s != (Stats{Open: 1, Idle: 1}) {
		t.Errorf("%+v: the connection should live on", s)
	}
}

func TestH2CTimeLimits(t *testing.T) {
	t.Parallel()
	cfg := Config{Scheme: "h2c", FirstByte: 10 * time.Second, Idle: 20 * time.Second, IdleConn: 30 * time.Second}
	stop := make(chan struct{})
	p := listenH2C(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/head":
			_, _ = io.WriteString(w, "hel")
			_ = http.NewResponseController(w).Flush()
			<-stop
		case "/nothing":
			<-stop
		}
	}).pool(t, cfg)
	t.Cleanup(func() { close(stop) })
	done := make(chan error, 1)
	c := newClock(p)
	go func() { done <- run(p, newExchange("GET", "/nothing")).err }()
	eventually(t, "waiting", func() bool { return p.waiting(awaitHead, quiet) })
	wantErr(t, holdsFor(t, c, cfg.FirstByte, done), ErrTimeout, "sent no answer within 10s")

	go func() { done <- run(p, newExchange("GET", "/head")).bodyErr }()
	eventually(t, "waiting", func() bool { return p.waiting(awaitBody, quiet) })
	err := holdsFor(t, c, cfg.Idle, done)
	wantErr(t, err, ErrTimeout, "went silent for 20s")
	wantErr(t, err, io.ErrUnexpectedEOF, "")

	c.pass(cfg.IdleConn)
	if s := p.Stats(); s != (Stats{Open: 1, Idle: 1}) {
		t.Errorf("%+v", s)
	}
	c.pass(time.Second)
	if s := p.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

func TestH2CPoolClose(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	p := listenH2C(t, func(http.ResponseWriter, *http.Request) { <-hold }).pool(t, Config{Scheme: "h2c"})
	done := make(chan result, 1)
	go func() { done <- run(p, newExchange("GET", "/")) }()
	eventually(t, "waiting", func() bool { return p.waiting(awaitHead, quiet) })
	p.Close()
	close(hold)
	if res := <-done; res.status != 200 {
		t.Errorf("%+v", res)
	}
	if s := p.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}
