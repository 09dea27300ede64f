// Package tracing makes a span of each sampled request and sends it by OTLP over HTTP
// (OpenTelemetry). The context of traces comes and goes by W3C Trace Context.
//
// A request that is not sampled costs a look at its traceparent. A span is written as it is
// sent, at once, and waits with others in a bounded buffer; a collector that is slow or
// away holds no request up.
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

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"

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
	every   uint64 // a request is sampled if a random number is below this
	parents Parents
	out     *exporter
}

var _ observe.Observer = (*Tracer)(nil)

// New prepares a Tracer; it connects to nobody yet.
func New(cfg Config) (*Tracer, error) {
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
	// What the environment says comes last, and wins.
	about, err := resource.New(context.Background(),
		resource.WithAttributes(attribute.String("service.name", "portway"), attribute.String("service.version", cfg.Version)),
		resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return &Tracer{
		every:   uint64(min(max(cfg.Sample, 0), 1) * (math.MaxUint32 + 1)),
		parents: cmp.Or(cfg.Parents, Trusted),
		out:     newExporter(&sender{to: to.String(), headers: fields}, about, cfg),
	}, nil
}

// Run sends spans. What is left when ctx is done is sent too, for five seconds at most.
func (t *Tracer) Run(ctx context.Context) error {
	t.out.run(ctx)
	return nil
}

// Lost tells how many spans the collector did not take.
func (t *Tracer) Lost() uint64 { return t.out.lost.Load() }

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
	if !e.Exchange.Trace.Sampled {
		return
	}
	ex := e.Exchange
	at := len(ex.Memory)
	ex.Memory = appendSpan(ex.Memory, e)
	t.out.add(ex.Memory[at:])
	ex.Memory = ex.Memory[:at]
}
