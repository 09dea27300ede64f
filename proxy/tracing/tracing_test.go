package tracing

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"portway/proxy/exchange"
	"portway/proxy/observe"
)

// receiver takes spans as a collector does.
type receiver struct {
	mu    sync.Mutex
	spans []*v1.Span
	about string
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		c.about = resource.Resource.String()
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

func start(t *testing.T, sample float64, h http.Handler, logTo io.Writer) (tr *Tracer, end func()) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	tr, err := New(Config{Endpoint: server.URL, Sample: sample, Version: "1.2.3", Logger: slog.New(slog.NewTextHandler(logTo, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = tr.Run(ctx) }()
	return tr, func() { cancel(); <-done }
}

func request(traceparent string) *exchange.Exchange {
	ex := exchange.Get()
	ex.Request.Method, ex.Request.Path, ex.Request.Query = []byte("GET"), []byte("/a"), []byte("token=secret")
	ex.Request.Authority = []byte("app.example.com")
	if traceparent != "" {
		ex.Request.Fields.AddString("Traceparent", traceparent)
	}
	ex.Conn = &exchange.Conn{Protocol: exchange.HTTP2}
	ex.ClientIP = netip.MustParseAddr("192.0.2.1")
	ex.Start = time.Unix(1_700_000_000, 0)
	ex.RouteName, ex.Upstream, ex.UpstreamTime = "blog/web", "blog-web-1", 20*time.Millisecond
	ex.Response.Status = 200
	return ex
}

const (
	traceID  = "0af7651916cd43dd8448eb211c80319c"
	parentID = "b7ad6b7169203331"
)

// The collector gets a span that continues the client's trace, and the origin is told
// of that span.
func TestContinuesATrace(t *testing.T) {
	t.Parallel()
	c := &receiver{}
	tr, end := start(t, 0, c, io.Discard)
	ex := request("00-" + traceID + "-" + parentID + "-01")
	ex.Trusted = true
	tr.Begin(ex)
	told := string(ex.Request.Fields.Get("traceparent"))
	if want := "00-" + traceID + "-" + ex.RequestID() + "-01"; told != want {
		t.Errorf("the origin is told %s, want %s", told, want)
	}
	tr.End(observe.Event{Exchange: ex, Sent: 10, Duration: 50 * time.Millisecond})
	failed := request("00-" + traceID + "-" + parentID + "-01")
	failed.Trusted = true
	tr.Begin(failed)
	tr.End(observe.Event{Exchange: failed, Err: errors.New("broken off")})
	end()
	if len(c.spans) != 2 || !strings.Contains(c.about, "portway") || !strings.Contains(c.about, "1.2.3") {
		t.Fatalf("%d spans of %s", len(c.spans), c.about)
	}
	s := c.spans[0]
	if hex.EncodeToString(s.TraceId) != traceID || hex.EncodeToString(s.ParentSpanId) != parentID || hex.EncodeToString(s.SpanId) != ex.RequestID() {
		t.Errorf("span %x of %x below %x", s.SpanId, s.TraceId, s.ParentSpanId)
	}
	if s.Name != "GET blog/web" || s.Kind != v1.Span_SPAN_KIND_SERVER || s.EndTimeUnixNano-s.StartTimeUnixNano != 50_000_000 {
		t.Errorf("%s %s, %d ns", s.Name, s.Kind, s.EndTimeUnixNano-s.StartTimeUnixNano)
	}
	all := fmt.Sprint(s.Attributes)
	for _, want := range []string{"http.request.method", "url.path", "portway.upstream", "blog-web-1", "192.0.2.1", "int_value:200", "double_value:0.02"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in %s", want, all)
		}
	}
	if strings.Contains(all, "secret") {
		t.Errorf("the query is in %s", all)
	}
	if c.spans[1].Status.Code != v1.Status_STATUS_CODE_ERROR || c.spans[1].Status.Message != "broken off" {
		t.Errorf("the failed one is %v", c.spans[1].Status)
	}
}

// What a client sends that is no UTF-8 costs nobody a span: not those either that are
// sent together with its own.
func TestWhatIsNoUTF8(t *testing.T) {
	t.Parallel()
	c := &receiver{}
	tr, end := start(t, 1, c, io.Discard)
	for edit, odd := range map[string]func(*exchange.Exchange){
		"none":       func(*exchange.Exchange) {},
		"path":       func(ex *exchange.Exchange) { ex.Request.Path = []byte("/\xff") },
		"host":       func(ex *exchange.Exchange) { ex.Request.Authority = []byte("a\xff.example.com") },
		"user agent": func(ex *exchange.Exchange) { ex.Request.Fields.AddString("User-Agent", "a\xff") },
	} {
		ex := request("")
		odd(ex)
		tr.Begin(ex)
		tr.End(observe.Event{Exchange: ex, Err: errors.New(edit + "\xff")})
	}
	end()
	if len(c.spans) != 4 || tr.Lost() > 0 {
		t.Errorf("%d spans of 4 came, %d are lost", len(c.spans), tr.Lost())
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, traceparent string
		share             float64
		sampled           bool
		told              string // what the origin sees, if not something new
	}{
		{"none, all", "", 1, true, ""},
		{"none, no one", "", 0, false, ""},
		{"not sampled by the client", "00-" + traceID + "-" + parentID + "-00", 1, false, "00-" + traceID + "-" + parentID + "-00"},
		{"not well-formed", "00-" + strings.ToUpper(traceID) + "-" + parentID + "-01", 0, false, "00-" + strings.ToUpper(traceID) + "-" + parentID + "-01"},
		{"zero", "00-00000000000000000000000000000000-" + parentID + "-01", 0, false, "00-00000000000000000000000000000000-" + parentID + "-01"},
		{"zero, replaced", "00-00000000000000000000000000000000-" + parentID + "-01", 1, true, ""},
		{"a later version", "cc-" + traceID + "-" + parentID + "-01-what", 0, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tr, end := start(t, tc.share, &receiver{}, io.Discard)
			defer end()
			ex := request(tc.traceparent)
			ex.Trusted = true
			tr.Begin(ex)
			told := string(ex.Request.Fields.Get("traceparent"))
			if ex.Trace.Sampled != tc.sampled {
				t.Errorf("sampled: %v", ex.Trace.Sampled)
			}
			if !tc.sampled && told != tc.told || tc.sampled && !strings.HasSuffix(told, "-"+ex.RequestID()+"-01") {
				t.Errorf("the origin is told %q", told)
			}
			var again exchange.Trace
			if tc.sampled && (!parse([]byte(told), &again) || again.ID != ex.Trace.ID) {
				t.Errorf("%q is not well-formed, or of another trace", told)
			}
		})
	}
}

// Strangers do not decide what is recorded, here or at the origin.
func TestWhoseWordCounts(t *testing.T) {
	t.Parallel()
	const yes, no = "00-" + traceID + "-" + parentID + "-01", "00-" + traceID + "-" + parentID + "-00"
	for _, tc := range []struct {
		name, traceparent string
		parents           Parents
		trusted           bool
		share             float64
		sampled           bool
		told              string // ID: of the request
		state             bool   // the origin gets the client's tracestate
	}{
		{"a stranger wants it", yes, Trusted, false, 0, false, "00-" + traceID + "-ID-00", true},
		{"a stranger does not want it", no, Trusted, false, 1, true, "00-" + traceID + "-ID-01", true},
		{"by default", yes, "", false, 0, false, "00-" + traceID + "-ID-00", true},
		{"a proxy wants it", yes, Trusted, true, 0, true, "00-" + traceID + "-ID-01", true},
		{"a proxy does not want it", no, Trusted, true, 1, false, no, true},
		{"what a stranger sends makes no sense", "00-x-01", Trusted, false, 0, false, "", false},
		{"what a proxy sends makes no sense", "00-x-01", Trusted, true, 0, false, "00-x-01", true},
		{"all decide", yes, All, false, 0, true, "00-" + traceID + "-ID-01", true},
		{"nobody decides", yes, None, true, 0, false, "", false},
		{"nobody's is continued", yes, None, true, 1, true, "00-NEW-ID-01", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tr, err := New(Config{Endpoint: "http://127.0.0.1:1", Sample: tc.share, Parents: tc.parents, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			ex := request(tc.traceparent)
			ex.Trusted = tc.trusted
			ex.Request.Fields.AddString("Tracestate", "a=b")
			tr.Begin(ex)
			want := strings.NewReplacer("ID", ex.RequestID(), "NEW", hex.EncodeToString(ex.Trace.ID[:])).Replace(tc.told)
			told, state := string(ex.Request.Fields.Get("traceparent")), ex.Request.Fields.Get("tracestate") != nil
			if told != want || state != tc.state || ex.Trace.Sampled != tc.sampled {
				t.Errorf("sampled: %v, the origin is told %q (tracestate: %v), want %q", ex.Trace.Sampled, told, state, want)
			}
			if tc.parents == None && tc.sampled && hex.EncodeToString(ex.Trace.ID[:]) == traceID {
				t.Error("the client's trace is continued")
			}
		})
	}
	twice := request(yes)
	twice.Request.Fields.AddString("Traceparent", yes)
	tr, end := start(t, 0, &receiver{}, io.Discard)
	defer end()
	if tr.Begin(twice); twice.Request.Fields.Get("traceparent") != nil {
		t.Error("two traces of a stranger reach the origin")
	}
}

// A collector that refuses costs spans, which are counted, and one line in the log.
func TestCollectorIsAway(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	tr, end := start(t, 1, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }), &log)
	for range 5 {
		ex := request("")
		tr.Begin(ex)
		tr.End(observe.Event{Exchange: ex})
	}
	end()
	if tr.Lost() != 5 || strings.Count(log.String(), "traces cannot be sent") != 1 {
		t.Errorf("%d lost; the log says\n%s", tr.Lost(), log.String())
	}
}

// Spans that wait are bounded. Nobody waits for a collector, and none is sent twice.
func TestManySpans(t *testing.T) {
	t.Parallel()
	c := &receiver{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	tr, err := New(Config{Endpoint: server.URL, Sample: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	const more = 10 // than fit
	ex := request("")
	tr.Begin(ex)
	for range maxWaiting + more {
		tr.End(observe.Event{Exchange: ex})
	}
	if tr.Lost() != more {
		t.Errorf("%d are lost, want %d", tr.Lost(), more)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = tr.Run(ctx) // sends what is left
	if len(c.spans) != maxWaiting || tr.Lost() != more {
		t.Errorf("%d came, %d are lost", len(c.spans), tr.Lost())
	}
}

// The environment has the last word on who sends the spans.
func TestResource(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,team=web%20one")
	c := &receiver{}
	tr, end := start(t, 1, c, io.Discard)
	ex := request("")
	tr.Begin(ex)
	tr.End(observe.Event{Exchange: ex})
	end()
	for _, want := range []string{`"mine"`, `"web one"`, `"1.2.3"`, "host.name"} {
		if !strings.Contains(c.about, want) {
			t.Errorf("no %s in %s", want, c.about)
		}
	}
}

func TestWrongEndpoint(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"", "collector:4318", "ftp://collector", "http://[::1"} {
		if _, err := New(Config{Endpoint: endpoint, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%q is taken", endpoint)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	got, err := headers("api-key=a%20b, x-scope = me ,")
	if err != nil || got.Get("Api-Key") != "a b" || got.Get("X-Scope") != "me" || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	for _, wrong := range []string{"secret", "=secret", "a=%zz"} {
		if _, err := headers(wrong); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("00-" + traceID + "-" + parentID + "-01")
	f.Add("cc-" + traceID + "-" + parentID + "-00-more")
	f.Fuzz(func(t *testing.T, s string) {
		var tr exchange.Trace
		if !parse([]byte(s), &tr) {
			return
		}
		if back := hex.EncodeToString(tr.ID[:]) + "-" + hex.EncodeToString(tr.Parent[:]); s[3:52] != back {
			t.Errorf("%q is read as %s", s, back)
		}
	})
}

func TestUnsampledDoesNotAllocate(t *testing.T) {
	tr, end := start(t, 0, &receiver{}, io.Discard)
	defer end()
	ex := request("")
	if n := testing.AllocsPerRun(100, func() { tr.Begin(ex); tr.End(observe.Event{Exchange: ex}) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// A sampled request allocates next to nothing: memory for spans that wait grows now and then.
func TestSampledHardlyAllocates(t *testing.T) {
	tr, err := New(Config{Endpoint: "http://127.0.0.1:1", Sample: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ex := request("")
	tr.Begin(ex)
	if n := testing.AllocsPerRun(500, func() { tr.End(observe.Event{Exchange: ex}) }); n > 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkUnsampled(b *testing.B) {
	tr, err := New(Config{Endpoint: "http://127.0.0.1:1", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ex := request("")
	b.ReportAllocs()
	for b.Loop() {
		tr.Begin(ex)
		tr.End(observe.Event{Exchange: ex})
	}
}
