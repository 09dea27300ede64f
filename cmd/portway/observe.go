package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"portway/proxy/accesslog"
	"portway/proxy/metrics"
	"portway/proxy/observe"
	"portway/proxy/tracing"
	"portway/route"
)

const (
	logDroppedHelp = "Lines of the access log that were not written: the file was too slow or broken."
	spansLostHelp  = "Spans that the collector did not take."
)

// watchers are what watches the proxy: metrics unless they are off, an access log and
// traces if they are asked for.
type watchers struct {
	registry *prometheus.Registry
	metrics  *metrics.Metrics // nil: off
	log      *accesslog.Log   // nil: none
	tracer   *tracing.Tracer
	logger   *slog.Logger
}

// watch opens what the settings ask for.
func (r *runCmd) watch(inv *invocation, logger *slog.Logger) (w *watchers, err error) {
	w = &watchers{registry: prometheus.NewRegistry(), logger: logger}
	if !r.Metrics.off {
		w.metrics = metrics.New()
		w.registry.MustRegister(w.metrics)
	}
	w.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if r.AccessLog != "" {
		w.log, err = accesslog.New(accesslog.Config{
			Path: r.AccessLog, Format: accesslog.Format(r.AccessLogFormat), Fields: r.AccessLogFields, Sample: float64(r.AccessLogSample),
			Redact: r.AccessLogRedact, Rotate: int64(r.AccessLogRotate), Keep: r.AccessLogKeep, Logger: logger,
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", inv.where("access-log"), err)
		}
		w.registry.MustRegister(counter("access_log_dropped_lines_total", logDroppedHelp, w.log.Dropped))
	}
	if r.Traces != "" {
		w.tracer, err = tracing.New(tracing.Config{Endpoint: r.Traces, Sample: float64(r.TraceSample), Parents: tracing.Parents(r.TraceParent), Version: versionString(), Logger: logger})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", inv.where("traces"), err)
		}
		w.registry.MustRegister(counter("trace_lost_spans_total", spansLostHelp, w.tracer.Lost))
	}
	return w, nil
}

// checkWatch looks for settings that cannot be.
func (r *runCmd) checkWatch(inv *invocation) error {
	var lines []string
	if r.AccessLogKeep < 0 {
		lines = append(lines, fmt.Sprintf("%s: %d is less than none", inv.where("access-log-keep"), r.AccessLogKeep))
	}
	if r.AccessLog == "" && len(r.AccessLogFields)+len(r.AccessLogRedact) > 0 {
		lines = append(lines, inv.where("access-log")+": is missing, though it is said what lines have")
	}
	if u, err := url.Parse(r.Traces); r.Traces != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		lines = append(lines, fmt.Sprintf("%s: %q is no address such as http://collector:4318", inv.where("traces"), r.Traces))
	}
	if lines != nil {
		return &settingsError{lines}
	}
	return nil
}

func counter(name, help string, read func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "portway_" + name, Help: help}, func() float64 { return float64(read()) })
}

// observer is what the proxy tells; nil: nobody wants to know.
func (w *watchers) observer() observe.Observer {
	var all observe.All
	if w.metrics != nil {
		all = append(all, w.metrics)
	}
	if w.log != nil {
		all = append(all, w.log)
	}
	if w.tracer != nil {
		all = append(all, w.tracer)
	}
	if all == nil {
		return nil
	}
	return all
}

// setTable drops what was counted for routes and replicas that are gone.
func (w *watchers) setTable(t *route.Table) {
	if w.metrics == nil {
		return
	}
	routes := make(map[string][]string)
	for _, r := range t.Routes() {
		names := routes[r.Name]
		for _, u := range r.Upstreams {
			names = append(names, u.Name)
		}
		routes[r.Name] = names
	}
	w.metrics.SetRoutes(routes)
}

// handler answers with all metrics; nil: there are none.
func (w *watchers) handler() http.Handler {
	if w.metrics == nil {
		return nil
	}
	return promhttp.HandlerFor(w.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorLog: slog.NewLogLogger(w.logger.Handler(), slog.LevelWarn)})
}

// reopen opens the access log anew.
func (w *watchers) reopen() {
	if w.log != nil {
		w.log.Reopen()
	}
}

// run does the work until ctx is done.
func (w *watchers) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if w.log != nil {
		g.Go(func() error { return w.log.Run(ctx) })
	}
	if w.tracer != nil {
		g.Go(func() error { return w.tracer.Run(ctx) })
	}
	return g.Wait()
}

// serve answers with metrics at listeners until ctx is done.
func (w *watchers) serve(ctx context.Context, listeners []net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	mux := http.NewServeMux()
	if h := w.handler(); h != nil {
		mux.Handle("GET /metrics", h)
	}
	for _, l := range listeners {
		w.logger.Info("serving metrics", "address", l.Addr().String())
		g.Go(func() error { return serveControl(ctx, l, mux, w.logger) })
	}
	return g.Wait()
}
