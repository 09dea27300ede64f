// Package metrics counts what the proxy does, for Prometheus. What a request costs is a
// few atomic additions: there is no look-up by labels in its way, and the samples are
// made when they are asked for.
//
// How many there are is bounded by the routes and replicas of the current table:
// methods that are not common count as one, hosts and paths are no labels.
package metrics

import (
	"crypto/tls"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"portway/proxy/exchange"
	"portway/proxy/observe"
)

// Metrics counts. Make one with New.
type Metrics struct {
	routes     atomic.Pointer[index[routeStats]] // by name; replaced, not changed
	changing   sync.Mutex                        // held while routes is replaced
	unrouted   routeStats                        // of requests that no route fits
	inFlight   inFlight
	handshakes handshakes
}

var (
	_ observe.Observer     = (*Metrics)(nil)
	_ observe.Connections  = (*Metrics)(nil)
	_ prometheus.Collector = (*Metrics)(nil)
)

// New makes a Metrics that has counted nothing.
func New() *Metrics {
	m := &Metrics{}
	m.routes.Store(newIndex(map[string]*routeStats{}))
	return m
}

// SetRoutes says what routes there are from now on, by name, with their replicas. What
// was counted for others is dropped.
func (m *Metrics) SetRoutes(routes map[string][]string) {
	m.changing.Lock()
	defer m.changing.Unlock()
	old := m.routes.Load().all
	next := make(map[string]*routeStats, len(routes))
	for name, replicas := range routes {
		s := old[name]
		if s == nil {
			s = new(routeStats)
		}
		s.keep(replicas)
		next[name] = s
	}
	m.routes.Store(newIndex(next))
}

// Begin counts a request in.
func (m *Metrics) Begin(ex *exchange.Exchange) { m.inFlight.add(ex, 1) }

// End counts it out, for its route.
func (m *Metrics) End(e observe.Event) {
	ex := e.Exchange
	m.inFlight.add(ex, -1)
	s := m.of(ex.RouteName)
	s.requests.add(ex.Request.Method, ex.Response.Status)
	s.duration.observe(e.Duration)
	if e.Sent > 0 {
		s.sent.Add(uint64(e.Sent))
	}
	if n := ex.Request.Length; n > 0 {
		s.received.Add(uint64(n))
	}
	if e.Err != nil {
		s.broken.Add(1)
	}
	if ex.Upstream != "" {
		s.upstream(ex.Upstream).observe(ex.UpstreamTime, ex.Response.Status)
	}
}

// of finds the counters of a route. One that is gone already has those of none: it may
// have been the last request of many routes.
func (m *Metrics) of(route string) *routeStats {
	if s := m.routes.Load().of(route); s != nil {
		return s
	}
	return &m.unrouted
}

// routeStats is what was counted for one route.
type routeStats struct {
	upstreams atomic.Pointer[index[upstreamStats]] // by name; replaced, not changed
	changing  sync.Mutex
	requests  requests

	_        [cacheLine]byte // what is only read above, what each request changes below
	sent     atomic.Uint64
	duration histogram
	received atomic.Uint64
	broken   atomic.Uint64
}

// upstreamStats is what was counted for one replica of one route.
type upstreamStats struct {
	_        [cacheLine]byte  // others are not slowed down
	classes  [6]atomic.Uint64 // requests by the first digit of the answer's status
	duration histogram
}

func (u *upstreamStats) observe(took time.Duration, status int) {
	if status >= 100 && status < 600 {
		u.classes[status/100].Add(1)
	}
	u.duration.observe(took)
}

// upstream finds the counters of a replica. A new one gets its own at its first request.
func (s *routeStats) upstream(name string) *upstreamStats {
	if u := s.upstreams.Load().of(name); u != nil {
		return u
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	next := map[string]*upstreamStats{}
	if all := s.upstreams.Load(); all != nil {
		if u := all.of(name); u != nil {
			return u
		}
		maps.Copy(next, all.all)
	}
	u := new(upstreamStats)
	next[name] = u
	s.upstreams.Store(newIndex(next))
	return u
}

// keep drops the counters of replicas that are not among names.
func (s *routeStats) keep(names []string) {
	s.changing.Lock()
	defer s.changing.Unlock()
	all := s.upstreams.Load()
	if all == nil {
		return
	}
	next := make(map[string]*upstreamStats, len(names))
	for _, name := range names {
		if u := all.of(name); u != nil {
			next[name] = u
		}
	}
	s.upstreams.Store(newIndex(next))
}

// handshakes counts TLS handshakes by outcome.
type handshakes struct {
	full, resumed [2]atomic.Uint64 // by version: TLS 1.2, TLS 1.3
	failed        atomic.Uint64
	duration      histogram
}

// Handshake counts a TLS handshake.
func (m *Metrics) Handshake(state *tls.ConnectionState, took time.Duration, err error) {
	h := &m.handshakes
	if err != nil {
		h.failed.Add(1)
		return
	}
	h.duration.observe(took)
	version := 0
	if state.Version >= tls.VersionTLS13 {
		version = 1
	}
	if state.DidResume {
		h.resumed[version].Add(1)
	} else {
		h.full[version].Add(1)
	}
}
