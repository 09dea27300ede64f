package metrics

import (
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"portway/proxy/exchange"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("portway_"+name, help, labels, nil)
}

// What there is; docs/metrics.md is written from it.
var (
	descRequests = desc("requests_total", "Requests that were answered, by route (empty: no route fits), method and status.", "route", "method", "code")
	descDuration = desc("request_duration_seconds", "Time from the complete head of a request to the end of its answer.", "route")
	descSent     = desc("response_bytes_total", "Content that clients were given.", "route")
	descReceived = desc("request_bytes_total", "Content that clients announced by Content-Length.", "route")
	descBroken   = desc("responses_broken_off_total", "Answers that did not get to their end, whoever ended them.", "route")
	descInFlight = desc("requests_in_flight", "Requests that are being answered.", "protocol")

	descUpstreamRequests = desc("upstream_requests_total", "Requests by the replica that answered or failed last, and class of the answer's status.", "route", "upstream", "code")
	descUpstreamDuration = desc("upstream_duration_seconds", "Time that a replica took to begin its answer, or to fail.", "route", "upstream")

	descHandshakes        = desc("tls_handshakes_total", "TLS handshakes over TCP that succeeded.", "version", "resumed")
	descHandshakesFailed  = desc("tls_handshakes_failed_total", "TLS handshakes over TCP that failed, whoever's fault it was.")
	descHandshakeDuration = desc("tls_handshake_duration_seconds", "Time of TLS handshakes over TCP that succeeded.")
)

// Describe tells what there is.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descRequests, descDuration, descSent, descReceived, descBroken, descInFlight, descUpstreamRequests, descUpstreamDuration,
		descHandshakes, descHandshakesFailed, descHandshakeDuration,
	} {
		ch <- d
	}
}

// Collect gives all samples.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	routes := m.routes.Load().all
	m.unrouted.collect(ch, "")
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		routes[name].collect(ch, name)
	}
	for p := exchange.HTTP10; p <= exchange.HTTP3; p++ {
		ch <- prometheus.MustNewConstMetric(descInFlight, prometheus.GaugeValue, float64(m.inFlight.of(p)), p.String())
	}
	h := &m.handshakes
	for version, name := range []string{"1.2", "1.3"} {
		count(ch, descHandshakes, h.full[version].Load(), name, "false")
		count(ch, descHandshakes, h.resumed[version].Load(), name, "true")
	}
	count(ch, descHandshakesFailed, h.failed.Load())
	h.duration.collect(ch, descHandshakeDuration)
}

func (s *routeStats) collect(ch chan<- prometheus.Metric, route string) {
	s.requests.each(func(method string, status int, n uint64) {
		count(ch, descRequests, n, route, method, strconv.Itoa(status))
	})
	s.duration.collect(ch, descDuration, route)
	count(ch, descSent, s.sent.Load(), route)
	count(ch, descReceived, s.received.Load(), route)
	count(ch, descBroken, s.broken.Load(), route)
	all := s.upstreams.Load()
	if all == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(all.all)) {
		u := all.all[name]
		for class := 1; class < len(u.classes); class++ {
			if n := u.classes[class].Load(); n > 0 {
				count(ch, descUpstreamRequests, n, route, name, strconv.Itoa(class)+"xx")
			}
		}
		u.duration.collect(ch, descUpstreamDuration, route, name)
	}
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, n uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (h *histogram) collect(ch chan<- prometheus.Metric, d *prometheus.Desc, labels ...string) {
	n, sum, buckets := h.read()
	ch <- prometheus.MustNewConstHistogram(d, n, sum, buckets, labels...)
}
