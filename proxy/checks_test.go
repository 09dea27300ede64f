package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"portway/label"
	"portway/proxy/health"
	"portway/route"
)

// labelled gives r what values say, as discovery would.
func labelled(t *testing.T, r *route.Route, values label.Values) *route.Route {
	t.Helper()
	r.Middleware = Binders()
	if problems := label.Parse(r.Source, func(o string) string { return label.Key("", o) }, values, r.Middleware...); len(problems) > 0 {
		t.Fatal(problems)
	}
	return r
}

// quickly are checks that find something out soon.
func quickly(values label.Values) label.Values {
	values["health.interval"] = "100ms"
	values["health.up"], values["health.down"] = "1", "1"
	return values
}

// news tells of each change that checks found.
type news chan struct{}

func (n news) option() option {
	return withServer(func(s *Server) {
		inner := s.checks.changed
		s.checks.changed = func(c *health.Checker) {
			inner(c)
			select {
			case n <- struct{}{}:
			default:
			}
		}
	})
}

// until waits for changes until there is what is wanted.
func (n news) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	for !is() {
		select {
		case <-n:
		case <-late:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// states are those of the upstreams of a route, as they are used.
func (i *instance) states(r *route.Route) string {
	var all []string
	for _, u := range i.Upstreams(r) {
		all = append(all, u.State.String())
	}
	return strings.Join(all, " ")
}

// sick is an origin whose health check can be told what to answer.
type sick struct {
	address  string
	status   atomic.Int64
	asked    atomic.Int64 // by checks
	served   atomic.Int64
	lastHost atomic.Value
}

func newSick(t *testing.T, status int64) *sick {
	t.Helper()
	s := &sick{}
	s.status.Store(status)
	s.address = originAt(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			s.lastHost.Store(r.Host)
			s.asked.Add(1)
			w.WriteHeader(int(s.status.Load()))
			return
		}
		s.served.Add(1)
		_, _ = io.WriteString(w, "hello")
	})
	return s
}

// A replica gets its share after its first success and none while it fails; the
// last one that fails leaves a page that says so.
func TestHealthDecides(t *testing.T) {
	t.Parallel()
	n := make(news, 1)
	one, two := newSick(t, 200), newSick(t, 503)
	r := labelled(t, at("a.test", one.address, two.address), quickly(label.Values{"health.path": "/healthz"}))
	r.Hosts = []string{"~x[.]test", "*.a.test", "a.test"} // the first name is what is asked for
	plain := at("plain.test", two.address)                // without checks, nobody knows
	i := serve(t, []*route.Route{r, plain}, n.option())
	c := i.client(t)
	ask := func(times int) (statuses string) {
		seen := map[int]int{}
		for range times {
			resp, _ := get(t, c, "http://a.test/")
			seen[resp.StatusCode]++
		}
		return fmt.Sprint(seen)
	}
	// Served at once, since the first table waits for the first results.
	if got := ask(20); got != "map[200:20]" || one.served.Load() != 20 || i.states(r) != "ready starting" {
		t.Errorf("one of two is new and fails: %s, %d by the other, states %s", got, one.served.Load(), i.states(r))
	}
	if resp, _ := get(t, c, "http://plain.test/"); resp.StatusCode != 200 {
		t.Errorf("a route without checks: %s", resp.Status)
	}
	if got := one.lastHost.Load(); got != "a.test" {
		t.Errorf("the check asks for host %v", got)
	}

	two.status.Store(200)
	n.until(t, "both ready", func() bool { return i.states(r) == "ready ready" })
	before := two.served.Load()
	if got := ask(20); got != "map[200:20]" || two.served.Load()-before != 10 {
		t.Errorf("both pass: %s, %d by the new one", got, two.served.Load()-before)
	}

	one.status.Store(500)
	n.until(t, "the first down", func() bool { return i.states(r) == "unhealthy ready" })
	before = one.served.Load()
	if got := ask(20); got != "map[200:20]" || one.served.Load() != before {
		t.Errorf("the first fails: %s, %d by it", got, one.served.Load()-before)
	}

	two.status.Store(404)
	n.until(t, "both down", func() bool { return i.states(r) == "unhealthy unhealthy" })
	resp, text := get(t, c, "http://a.test/")
	if resp.StatusCode != 503 || !strings.Contains(text, "The site is running, but its health check fails.") {
		t.Errorf("%s\n%s", resp.Status, text)
	}
	why := "container " + one.address + " is unhealthy: its health check fails: GET /healthz at " + one.address + ": the answer is 500 Internal Server Error, and not 200-399"
	if !strings.Contains(i.log.String(), why) {
		t.Errorf("the log does not say: %s", why)
	}
	if got := i.Upstreams(r)[1].Reason; !strings.Contains(got, "404 Not Found") {
		t.Errorf("reason: %s", got)
	}

	one.status.Store(200)
	n.until(t, "the first is back", func() bool { return i.states(r) == "ready unhealthy" })
	if got := ask(5); got != "map[200:5]" {
		t.Errorf("the first is back: %s", got)
	}
}

// A listener that dies takes its replica out without a request lost, and one that
// listens there again brings it back.
func TestHealthOfRestartedReplica(t *testing.T) {
	t.Parallel()
	n := make(news, 1)
	stays := newSick(t, 200)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	start := func(l net.Listener) *httptest.Server {
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
		s.Start()
		return s
	}
	dies := start(l)
	r := labelled(t, at("a.test", stays.address, l.Addr().String()), quickly(label.Values{"health": "tcp"}))
	i := serve(t, []*route.Route{r}, n.option())
	n.until(t, "both ready", func() bool { return i.states(r) == "ready ready" })

	var wg sync.WaitGroup
	done := make(chan struct{})
	var asked atomic.Int64
	for range 4 {
		client := i.client(t)
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := client.Get("http://a.test/")
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("%s", resp.Status)
				}
				asked.Add(1)
			}
		})
	}
	for range 3 {
		dies.CloseClientConnections()
		dies.Close()
		n.until(t, "the second down", func() bool { return i.states(r) == "ready unhealthy" })
		again, err := net.Listen("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		dies = start(again)
		n.until(t, "the second is back", func() bool { return i.states(r) == "ready ready" })
	}
	close(done)
	wg.Wait()
	dies.Close()
	t.Logf("%d requests while a replica of two died three times, none failed", asked.Load())
	if asked.Load() < 20 {
		t.Errorf("only %d requests were made", asked.Load())
	}
}

func TestHealthByGRPC(t *testing.T) {
	t.Parallel()
	n := make(news, 1)
	s, h := grpc.NewServer(), grpchealth.NewServer()
	grpc_health_v1.RegisterHealthServer(s, h)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	r := with(at("grpc.test", l.Addr().String()), func(r *route.Route) { r.Upstreams[0].Scheme = route.H2C })
	i := serve(t, []*route.Route{labelled(t, r, quickly(label.Values{"health": "grpc"}))}, n.option())
	n.until(t, "serving", func() bool { return i.states(r) == "ready" })
	h.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	n.until(t, "not serving", func() bool { return i.states(r) == "unhealthy" })
	if got := i.Upstreams(r)[0].Reason; !strings.Contains(got, "the service is NOT_SERVING") {
		t.Errorf("reason: %s", got)
	}
	h.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	n.until(t, "serving again", func() bool { return i.states(r) == "ready" })
}

// Checks that are switched on for a site that is served take nothing away before
// they have found something out.
func TestHealthSwitchedOn(t *testing.T) {
	t.Parallel()
	n := make(news, 1)
	s := newSick(t, 503)
	r := at("a.test", s.address)
	i := serve(t, []*route.Route{r}, n.option())
	checked := labelled(t, at("a.test", s.address), label.Values{"health.path": "/healthz", "health.interval": "300ms", "health.down": "2"})
	i.SetTable(route.NewTable([]*route.Route{checked}, nil))
	if resp, _ := get(t, i.client(t), "http://a.test/"); resp.StatusCode != 200 {
		t.Errorf("right after: %s", resp.Status)
	}
	n.until(t, "down", func() bool { return i.states(r) == "unhealthy" })
	if asked := s.asked.Load(); asked != 2 {
		t.Errorf("down after %d checks, want 2", asked)
	}
}

// Docker's word counts first: what it calls unhealthy is not made ready by a check.
func TestDockersHealthCountsFirst(t *testing.T) {
	t.Parallel()
	n := make(news, 1)
	s := newSick(t, 200)
	r := with(at("a.test", s.address), func(r *route.Route) { r.Upstreams[0].State = route.Unhealthy })
	i := serve(t, []*route.Route{labelled(t, r, quickly(label.Values{"health.path": "/healthz"}))}, n.option())
	n.until(t, "checked", func() bool { return s.asked.Load() > 0 })
	if got := i.states(r); got != "unhealthy" {
		t.Errorf("state %s", got)
	}
}

// Routes that check a replica alike share one check; it ends with the replica, and
// all end with the server. Not parallel: it looks at all goroutines.
func TestChecksEnd(t *testing.T) {
	one, two := newSick(t, 200), newSick(t, 200)
	values := func() label.Values { return quickly(label.Values{"health": "tcp"}) }
	i := serve(t, []*route.Route{
		labelled(t, at("a.test", one.address, two.address), values()),
		labelled(t, at("b.test", one.address, two.address), values()),
	}, withConfig(func(cfg *Config) { cfg.Logger = slog.New(slog.DiscardHandler) }))
	if got := running("health.(*Checker).run"); got != 2 {
		t.Errorf("%d checkers run, want 2", got)
	}
	i.SetTable(route.NewTable([]*route.Route{labelled(t, at("a.test", one.address), values())}, nil))
	await(t, "one checker", func() bool { return running("health.(*Checker).run") == 1 })
	if err := i.stop(); err != nil {
		t.Error(err)
	}
	if got := running("health.(*Checker).run"); got != 0 {
		t.Errorf("%d checkers outlive the server", got)
	}
}

// running counts goroutines that are in a function.
func running(function string) int {
	b := make([]byte, 4<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), function+"(")
}

// await polls for what nobody tells of.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
