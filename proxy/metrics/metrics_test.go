package metrics

import (
	"crypto/tls"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"portway/proxy/exchange"
	"portway/proxy/observe"
)

func request(method, route, upstream string, status int) observe.Event {
	ex := exchange.Get()
	ex.Request.Method = []byte(method)
	ex.Conn = &exchange.Conn{Protocol: exchange.HTTP2}
	ex.RouteName, ex.Upstream, ex.UpstreamTime = route, upstream, 3*time.Millisecond
	ex.Response.Status = status
	return observe.Event{Exchange: ex, Sent: 100, Duration: 5 * time.Millisecond}
}

func serve(m *Metrics, events ...observe.Event) {
	for _, e := range events {
		m.Begin(e.Exchange)
		m.End(e)
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	m := New()
	m.SetRoutes(map[string][]string{"blog": {"blog-1", "blog-2"}, "idle": nil})
	upload := request("POST", "blog", "blog-2", 503)
	upload.Exchange.Request.Length = 70
	upload.Err = errors.New("broken off")
	serve(m, request("GET", "blog", "blog-1", 200), request("GET", "blog", "blog-1", 200), upload,
		request("BREW", "blog", "blog-1", 418), request("GET", "", "", 404))
	m.Begin(request("GET", "blog", "", 0).Exchange)
	m.Handshake(&tls.ConnectionState{Version: tls.VersionTLS13, DidResume: true}, time.Millisecond, nil)
	m.Handshake(nil, time.Millisecond, errors.New("no"))
	want := `
# HELP portway_requests_total Requests that were answered, by route (empty: no route fits), method and status.
# TYPE portway_requests_total counter
portway_requests_total{code="200",method="GET",route="blog"} 2
portway_requests_total{code="404",method="GET",route=""} 1
portway_requests_total{code="418",method="other",route="blog"} 1
portway_requests_total{code="503",method="POST",route="blog"} 1
# HELP portway_upstream_requests_total Requests by the replica that answered or failed last, and class of the answer's status.
# TYPE portway_upstream_requests_total counter
portway_upstream_requests_total{code="2xx",route="blog",upstream="blog-1"} 2
portway_upstream_requests_total{code="4xx",route="blog",upstream="blog-1"} 1
portway_upstream_requests_total{code="5xx",route="blog",upstream="blog-2"} 1
# HELP portway_response_bytes_total Content that clients were given.
# TYPE portway_response_bytes_total counter
portway_response_bytes_total{route=""} 100
portway_response_bytes_total{route="blog"} 400
portway_response_bytes_total{route="idle"} 0
# HELP portway_request_bytes_total Content that clients announced by Content-Length.
# TYPE portway_request_bytes_total counter
portway_request_bytes_total{route=""} 0
portway_request_bytes_total{route="blog"} 70
portway_request_bytes_total{route="idle"} 0
# HELP portway_responses_broken_off_total Answers that did not get to their end, whoever ended them.
# TYPE portway_responses_broken_off_total counter
portway_responses_broken_off_total{route=""} 0
portway_responses_broken_off_total{route="blog"} 1
portway_responses_broken_off_total{route="idle"} 0
# HELP portway_requests_in_flight Requests that are being answered.
# TYPE portway_requests_in_flight gauge
portway_requests_in_flight{protocol="HTTP/1.0"} 0
portway_requests_in_flight{protocol="HTTP/1.1"} 0
portway_requests_in_flight{protocol="HTTP/2.0"} 1
portway_requests_in_flight{protocol="HTTP/3.0"} 0
# HELP portway_tls_handshakes_failed_total TLS handshakes over TCP that failed, whoever's fault it was.
# TYPE portway_tls_handshakes_failed_total counter
portway_tls_handshakes_failed_total 1
# HELP portway_tls_handshakes_total TLS handshakes over TCP that succeeded.
# TYPE portway_tls_handshakes_total counter
portway_tls_handshakes_total{resumed="false",version="1.2"} 0
portway_tls_handshakes_total{resumed="false",version="1.3"} 0
portway_tls_handshakes_total{resumed="true",version="1.2"} 0
portway_tls_handshakes_total{resumed="true",version="1.3"} 1
`
	names := []string{
		"portway_requests_total", "portway_upstream_requests_total", "portway_response_bytes_total", "portway_request_bytes_total",
		"portway_responses_broken_off_total", "portway_requests_in_flight", "portway_tls_handshakes_total", "portway_tls_handshakes_failed_total",
	}
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// Prometheus's own rules for names, units and help.
func TestLint(t *testing.T) {
	t.Parallel()
	m := New()
	m.SetRoutes(map[string][]string{"blog": {"blog-1"}})
	serve(m, request("GET", "blog", "blog-1", 200))
	problems, err := testutil.CollectAndLint(m)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(m)
	if _, err := r.Gather(); err != nil {
		t.Error(err)
	}
}

// What is gone takes no memory and gives no samples, and a route that stays keeps its counts.
func TestRoutesThatAreGone(t *testing.T) {
	t.Parallel()
	m := New()
	m.SetRoutes(map[string][]string{"a": {"a-1", "a-2"}, "b": nil})
	serve(m, request("GET", "a", "a-1", 200), request("GET", "a", "a-2", 200), request("GET", "b", "b-1", 200))
	m.SetRoutes(map[string][]string{"a": {"a-2"}})
	serve(m, request("GET", "b", "", 200)) // the last one of b
	want := `
# HELP portway_requests_total Requests that were answered, by route (empty: no route fits), method and status.
# TYPE portway_requests_total counter
portway_requests_total{code="200",method="GET",route=""} 1
portway_requests_total{code="200",method="GET",route="a"} 2
# HELP portway_upstream_requests_total Requests by the replica that answered or failed last, and class of the answer's status.
# TYPE portway_upstream_requests_total counter
portway_upstream_requests_total{code="2xx",route="a",upstream="a-2"} 1
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), "portway_requests_total", "portway_upstream_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	for d, bound := range map[time.Duration]float64{
		-time.Second: 0.0005, 0: 0.0005, 500 * time.Microsecond: 0.0005, 500*time.Microsecond + 1: 0.001, time.Millisecond: 0.001,
		time.Millisecond + 1: 0.002, 2 * time.Millisecond: 0.002, 3 * time.Millisecond: 0.004, 32768 * time.Millisecond: 32.768, time.Hour: math.Inf(1),
	} {
		var h histogram
		h.observe(d)
		n, _, buckets := h.read()
		smallest := math.Inf(1)
		for b, count := range buckets {
			if count == 1 {
				smallest = min(smallest, b)
			}
		}
		if n != 1 || math.Abs(smallest-bound) > 1e-9 && smallest != bound {
			t.Errorf("%v is in the bucket up to %v, want %v", d, smallest, bound)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	m := New()
	m.SetRoutes(map[string][]string{"a": nil})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				serve(m, request("GET", "a", string(rune('a'+(n+i)%5)), 200+n%3))
				if n%100 == 0 {
					m.SetRoutes(map[string][]string{"a": {"a", "b", "c", "d", "e"}})
				}
			}
		})
	}
	wg.Wait()
	var total uint64
	m.of("a").requests.each(func(_ string, _ int, n uint64) { total += n })
	if total != 4000 {
		t.Errorf("%d requests", total)
	}
}

func TestDoesNotAllocate(t *testing.T) {
	m := New()
	m.SetRoutes(map[string][]string{"blog": {"blog-1"}})
	e := request("GET", "blog", "blog-1", 200)
	serve(m, e)
	if n := testing.AllocsPerRun(100, func() { m.Begin(e.Exchange); m.End(e) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	m := New()
	m.SetRoutes(map[string][]string{"blog": {"blog-1"}})
	e := request("GET", "blog", "blog-1", 200)
	b.ReportAllocs()
	for b.Loop() {
		m.Begin(e.Exchange)
		m.End(e)
	}
}

// A snapshot has the same numbers, for who shows them without Prometheus.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	m := New()
	m.SetRoutes(map[string][]string{"blog": {"blog-1"}})
	upload := request("POST", "blog", "blog-1", 503)
	upload.Exchange.Request.Length = 70
	slow := request("GET", "blog", "blog-1", 200)
	slow.Duration = time.Hour
	serve(m, request("GET", "blog", "blog-1", 200), request("GET", "blog", "blog-1", 404), upload, slow, request("GET", "", "", 404))
	all := map[string]Counts{}
	for _, c := range m.Snapshot() {
		all[c.Route] = c
	}
	if c := all[""]; len(all) != 2 || c.Requests != 1 || c.Failed != 0 {
		t.Errorf("%+v", all)
	}
	c := all["blog"]
	if c.Requests != 4 || c.Failed != 1 || c.Sent != 400 || c.Received != 70 {
		t.Errorf("%+v", c)
	}
	for i, b := range c.Durations {
		want := map[time.Duration]uint64{8 * time.Millisecond: 3, 0: 1}[b.Bound]
		if b.Count != want || (b.Bound == 0) != (i == len(c.Durations)-1) {
			t.Errorf("bucket %d: %+v, want %d", i, b, want)
		}
	}
}
