package tracing

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	sendAfter  = 5 * time.Second // how long a span may wait for others
	sendAt     = 512             // or until there are so many
	maxWaiting = 2048            // spans that wait for a slow collector
	lastWord   = 5 * time.Second // how long what is left at the end may take
)

// exporter collects spans and sends them. It counts what the collector does not take,
// and says so once.
type exporter struct {
	to       *sender
	about    []byte // the message ResourceSpans up to its spans
	scope    []byte // the message ScopeSpans up to its spans
	endpoint string
	log      *slog.Logger
	lost     atomic.Uint64
	ill      bool // of run alone

	mu      sync.Mutex
	waiting []byte // spans, each as a field of ScopeSpans
	count   int    // of them
	full    chan struct{}
}

func newExporter(to *sender, about *resource.Resource, cfg Config) *exporter {
	x := &exporter{to: to, endpoint: cfg.Endpoint, log: cfg.Logger, full: make(chan struct{}, 1)}
	x.about = appendBytes(nil, resourceSpansResource, appendResource(nil, about.Attributes()))
	x.scope = appendBytes(nil, scopedScope, appendBytes(nil, scopeName, "portway"))
	return x
}

// add takes a span, or drops it.
func (x *exporter) add(span []byte) {
	x.mu.Lock()
	if x.count >= maxWaiting {
		x.mu.Unlock()
		x.lost.Add(1)
		return
	}
	x.waiting = appendBytes(x.waiting, scopedSpans, span)
	x.count++
	enough := x.count == sendAt
	x.mu.Unlock()
	if enough {
		select {
		case x.full <- struct{}{}:
		default: // it is told already
		}
	}
}

func (x *exporter) run(ctx context.Context) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastWord, cancel) })
	defer stop()
	tick := time.NewTicker(sendAfter)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-x.full:
		case <-tick.C:
		case <-ctx.Done():
		}
		x.flush(sending)
	}
	x.flush(sending)
	x.to.close()
}

// flush sends what waits.
func (x *exporter) flush(ctx context.Context) {
	x.mu.Lock()
	spans, count := x.waiting, x.count
	x.waiting, x.count = nil, 0
	x.mu.Unlock()
	if count == 0 {
		return
	}
	err := x.to.send(ctx, x.message(spans))
	switch {
	case err != nil:
		x.lost.Add(uint64(count))
		if !x.ill {
			x.log.Warn("traces cannot be sent; they are dropped", "endpoint", x.endpoint, "error", err,
				"fix", "see whether the collector takes OTLP over HTTP there, mostly at port 4318")
		}
	case x.ill:
		x.log.Info("traces are sent again", "endpoint", x.endpoint)
	}
	x.ill = err != nil
}

// message is an ExportTraceServiceRequest.
func (x *exporter) message(spans []byte) []byte {
	scoped := len(x.scope) + len(spans)
	all := len(x.about) + 1 + protowire.SizeBytes(scoped)
	b := make([]byte, 0, all+16)
	b = protowire.AppendVarint(appendTag(b, tracesResourceSpans, protowire.BytesType), uint64(all))
	b = append(b, x.about...)
	b = protowire.AppendVarint(appendTag(b, resourceSpansScoped, protowire.BytesType), uint64(scoped))
	return append(append(b, x.scope...), spans...)
}
