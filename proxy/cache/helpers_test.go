package cache_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/label"
	"portway/proxy"
	"portway/proxy/cache"
	"portway/route"
)

// served is a Portway that listens, with a cache in front of an origin.
type served struct {
	address string
	cache   *cache.Cache
	client  *http.Client
}

// serve starts one for the host cache.test until the test ends. options are labels
// without "portway.", as "cache.ttl: 1m".
func serve(t testing.TB, origin http.Handler, options ...string) *served {
	t.Helper()
	o := httptest.NewServer(origin)
	t.Cleanup(func() {
		o.CloseClientConnections()
		o.Close()
	})
	return serveAt(t, o.Listener.Addr().String(), cache.Config{}, options...)
}

func serveAt(t testing.TB, origin string, cfg cache.Config, options ...string) *served {
	t.Helper()
	values := label.Values{"cache": "true"}
	for _, o := range options {
		name, value, _ := strings.Cut(o, ": ")
		values[name] = value
	}
	binders := proxy.Binders()
	if problems := label.Parse("test", func(o string) string { return label.Key("", o) }, values, binders...); len(problems) > 0 {
		t.Fatal(problems)
	}
	listeners, err := proxy.Listen([]string{"127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{address: listeners.HTTP()[0].String()}
	if s.cache, err = cache.New(cfg); err != nil {
		t.Fatal(err)
	}
	server, err := proxy.New(proxy.Config{Listeners: listeners, Cache: s.cache, Drain: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	server.SetTable(route.NewTable([]*route.Route{{
		ID: "cached", Name: "cached", Source: "test", Hosts: []string{"cache.test"}, Path: "/", HTTPS: route.Off,
		Upstreams:  []route.Upstream{{ID: "o", Name: "origin", Network: "tcp", Address: origin, Scheme: route.HTTP}},
		Middleware: binders,
	}}, nil))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.address)
		},
		DisableCompression: true, MaxIdleConnsPerHost: 2000,
	}
	s.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       2 * time.Minute,
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// do sends a request and reads the answer.
func (s *served) do(t testing.TB, method, path string, fields ...string) (*http.Response, string) {
	t.Helper()
	return s.doTraced(t, nil, method, path, fields...)
}

// doTraced is do that notes the statuses of interim responses, unless interim is nil.
func (s *served) doTraced(t testing.TB, interim *string, method, path string, fields ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://cache.test"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	if interim != nil {
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
				*interim = strings.TrimSpace(*interim + " " + strconv.Itoa(code))
				return nil
			},
		}))
	}
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// script plays the origin for cases: for each path, the answers that it is to give,
// and what it was asked.
type script struct {
	mu      sync.Mutex
	answers map[string][]answer
	asked   map[string][]*http.Request
	mute    map[string]bool // paths whose requests get no answer
}

// answer is one answer of the origin.
type answer struct {
	status  int
	fields  []string // "Name: value"; "-Name" is left out
	interim []string // "103 Name: value"
	content string
	cut     bool // broken off in the middle
}

func newScript() *script {
	return &script{answers: map[string][]answer{}, asked: map[string][]*http.Request{}, mute: map[string]bool{}}
}

// hangUp tells whether requests to path get no answer from now on.
func (s *script) hangUp(path string, mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute[path] = mute
}

// add gives the answers for requests to path, in turn.
func (s *script) add(path string, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = append(s.answers[path], a)
}

// requests are those that came for path.
func (s *script) requests(path string) []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	path := r.URL.Path
	if s.mute[path] {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	n := len(s.asked[path])
	s.asked[path] = append(s.asked[path], r)
	if n >= len(s.answers[path]) {
		s.mu.Unlock()
		http.Error(w, fmt.Sprintf("request %d for %s was not expected", n+1, path), http.StatusTeapot)
		return
	}
	a := s.answers[path][n]
	s.mu.Unlock()
	for _, line := range a.interim {
		status, field, _ := strings.Cut(line, " ")
		name, value, _ := strings.Cut(field, ": ")
		code, _ := strconv.Atoi(status)
		w.Header().Set(name, value)
		w.WriteHeader(code)
		w.Header().Del(name)
	}
	for _, line := range a.fields {
		if name, ok := strings.CutPrefix(line, "-"); ok {
			w.Header()[name] = nil
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		w.Header().Add(name, strings.TrimSpace(value))
	}
	if a.cut {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.content)+10))
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.content)
	if a.cut {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}
