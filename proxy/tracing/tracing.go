// Package tracing makes a span of each sampled request and sends it by OTLP over HTTP
// (OpenTelemetry). The context of traces comes and goes by W3C Trace Context.
//
// A request that is not sampled costs a look at its traceparent. Spans wait in a bounded
// queue of OpenTelemetry's; a collector that is slow or away holds no request up.
package tracing

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"portway/proxy/exchange"
	"portway/proxy/observe"
)

// Config says what is traced, and where spans go.
type Config struct {
	// Endpoint is the collector's address, such as http://collector:4318; without a
	// path, spans go to /v1/traces.
	Endpoint string
	// Sample is the share of requests that are sampled, from 0 to 1, where nobody whose
	// word counts has decided that already.
	Sample  float64
	Parents Parents // empty: Trusted
	Version string  // of Portway
	Logger  *slog.Logger
}

// Parents says whose traces are continued. Whoever decides that a request is sampled can
// fill the collector; and hide in it, if he decides that none is.
type Parents string

// What Parents can be.
const (
	// Trusted has the traces of all continued; those of trusted proxies are sampled if
	// their traceparent says so, and only then.
	Trusted Parents = "trusted"
	All     Parents = "all"  // of all, and sampled if their traceparent says so
	None    Parents = "none" // of nobody
)

// Tracer traces.
type Tracer struct {
	every    uint64 // a request is sampled if a random number is below this
	parents  Parents
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	lost     *exporter
}

var _ observe.Observer = (*Tracer)(nil)

// New prepares a Tracer; it connects to nobody yet.
func New(cfg Config) (*Tracer, error) {
	ctx := context.Background()
	to, err := url.Parse(cfg.Endpoint)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" {
		return nil, fmt.Errorf("traces cannot be sent to %q: write an address such as http://collector:4318", cfg.Endpoint)
	}
	if to.Path == "" || to.Path == "/" {
		to.Path = "/v1/traces"
	}
	fields, err := headers(os.Getenv("OTEL_EXPORTER_OTLP_HEADERS"))
	if err != nil {
		return nil, err
	}
	client, err := otlptrace.New(ctx, &sender{to: to.String(), headers: fields})
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "portway"), attribute.String("service.version", cfg.Version)))
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	out := &exporter{SpanExporter: client, endpoint: cfg.Endpoint, log: cfg.Logger}
	t := &Tracer{every: uint64(min(max(cfg.Sample, 0), 1) * (math.MaxUint32 + 1)), lost: out, parents: cmp.Or(cfg.Parents, Trusted)}
	t.provider = sdk.NewTracerProvider(sdk.WithBatcher(out), sdk.WithResource(about), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithIDGenerator(given{}))
	t.tracer = t.provider.Tracer("portway")
	return t, nil
}

// Run sends what is left when ctx is done, for five seconds at most.
func (t *Tracer) Run(ctx context.Context) error {
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // the exporter has told what did not work
	return nil
}

// Lost tells how many spans the collector did not take.
func (t *Tracer) Lost() uint64 { return t.lost.lost.Load() }

var nameTraceparent = []byte("Traceparent")

// Begin decides whether ex is traced, and if so has the origin continue the trace.
func (t *Tracer) Begin(ex *exchange.Exchange) {
	f := &ex.Request.Fields
	tr := &ex.Trace
	came := f.Count("traceparent")
	known := came == 1 && t.parents != None && parse(f.Get("traceparent"), tr)
	decides := t.parents == All || t.parents == Trusted && ex.Trusted
	if known && decides {
		if tr.Sampled {
			t.tell(ex)
		}
		return // otherwise it passes as it is
	}
	if !known {
		*tr = exchange.Trace{}
	}
	tr.Sampled = uint64(rand.Uint32()) < t.every
	switch {
	case tr.Sampled && !known:
		binary.BigEndian.PutUint64(tr.ID[:], rand.Uint64())
		binary.BigEndian.PutUint64(tr.ID[8:], max(rand.Uint64(), 1)) // all zeros are not allowed
		f.Del("tracestate")                                          // belongs to the trace that is not continued
		t.tell(ex)
	case tr.Sampled, known: // the origin is told what was decided, not what the client would like
		t.tell(ex)
	case came > 0 && !decides:
		f.Del("traceparent")
		f.Del("tracestate")
	}
}

// tell gives the origin the trace, with the request as what comes before it, which it has
// to be when the flag is changed (W3C Trace Context section 3.4).
func (t *Tracer) tell(ex *exchange.Exchange) {
	tr := &ex.Trace
	at := len(ex.Memory)
	ex.Memory = append(hex.AppendEncode(append(ex.Memory, "00-"...), tr.ID[:]), '-')
	ex.Memory = ex.AppendRequestID(ex.Memory)
	if tr.Sampled {
		ex.Memory = append(ex.Memory, "-01"...)
	} else {
		ex.Memory = append(ex.Memory, "-00"...)
	}
	f := &ex.Request.Fields
	f.Del("traceparent")
	f.Add(nameTraceparent, ex.Memory[at:len(ex.Memory):len(ex.Memory)])
}

// End makes the span, if there is to be one. Its ID is the request's.
func (t *Tracer) End(e observe.Event) {
	ex := e.Exchange
	if !ex.Trace.Sampled {
		return
	}
	q := &ex.Request
	ids := ids{trace: ex.Trace.ID}
	_, _ = hex.Decode(ids.span[:], []byte(ex.RequestID())) // 16 digits
	ctx := context.WithValue(context.Background(), idsKey{}, &ids)
	if parent := trace.SpanID(ex.Trace.Parent); parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: ids.trace, SpanID: parent, TraceFlags: trace.FlagsSampled, Remote: true,
		}))
	}
	scheme := "http"
	if ex.Conn.TLS != nil {
		scheme = "https"
	}
	name := string(q.Method)
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", name),
		attribute.String("url.scheme", scheme),
		attribute.String("url.path", text(q.Path)),
		attribute.String("server.address", text(q.Authority)),
		attribute.String("client.address", ex.ClientIP.String()),
		attribute.String("network.protocol.name", "http"),
		attribute.String("network.protocol.version", ex.Conn.Protocol.String()[len("HTTP/"):]),
		attribute.Int("http.response.status_code", ex.Response.Status),
		attribute.Int64("http.response.body.size", e.Sent),
	}
	if agent := q.Fields.Get("user-agent"); agent != nil {
		attributes = append(attributes, attribute.String("user_agent.original", text(agent)))
	}
	if ex.RouteName != "" {
		name += " " + ex.RouteName
		attributes = append(attributes, attribute.String("portway.route", ex.RouteName))
	}
	if ex.Upstream != "" {
		attributes = append(attributes, attribute.String("portway.upstream", ex.Upstream),
			attribute.Float64("portway.upstream.duration", ex.UpstreamTime.Seconds()))
	}
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(ex.Start), trace.WithAttributes(attributes...))
	switch {
	case e.Err != nil:
		span.SetStatus(codes.Error, text([]byte(e.Err.Error())))
	case ex.Response.Status >= 500:
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(ex.Start.Add(e.Duration)))
}

// text is what a client sent, as UTF-8: with anything else in one span, all spans that are
// sent together with it would be lost.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }

// ids are what the next span is to be called.
type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

type idsKey struct{}

// given takes IDs from the context, since they were told to the origin before.
type given struct{}

var _ sdk.IDGenerator = given{}

func (given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	ids := ctx.Value(idsKey{}).(*ids)
	return ids.trace, ids.span
}

func (g given) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	_, span := g.NewIDs(ctx)
	return span
}

// exporter counts what the collector does not take, and says so once.
type exporter struct {
	sdk.SpanExporter
	endpoint string
	log      *slog.Logger
	lost     atomic.Uint64
	ill      atomic.Bool
}

func (x *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := x.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil:
		x.lost.Add(uint64(len(spans)))
		if x.ill.CompareAndSwap(false, true) {
			x.log.Warn("traces cannot be sent; they are dropped", "endpoint", x.endpoint, "error", err,
				"fix", "see whether the collector takes OTLP over HTTP there, mostly at port 4318")
		}
	case x.ill.CompareAndSwap(true, false):
		x.log.Info("traces are sent again", "endpoint", x.endpoint)
	}
	return nil // it is told
}
