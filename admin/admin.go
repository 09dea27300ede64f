// Package admin knows the truth about the running Portway, and tells it: what is
// served, what was rejected and why, which way a request goes, what changed, and what
// failed lately. It is reached over the control socket; all that it tells, its
// OpenAPI document describes.
package admin

import (
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"

	"portway/label"
	"portway/route"
)

// Config is what a Server tells besides the current table.
type Config struct {
	Version string

	// Replicas gives a route's upstreams with what the proxy has found out about
	// them; nil: they are as in the table.
	Replicas func(*route.Route) []Replica

	// Certificates lists every name's certificate; nil: none.
	Certificates func() []Certificate

	// Problems gives problems besides those of the table; nil: there are none.
	Problems func() []label.Problem

	// Cache tells what the cache of the route with that ID has done, but for HitRatio;
	// false if it has none. May be nil.
	Cache func(route string) (Cache, bool)

	// Purge drops stored answers and tells how many there were; nil: there is no cache.
	Purge func(Purge) (int, error)

	// Root gives the internal CA's root; nil: there is none.
	Root func() (Root, error)

	// HelloKeys tells about Encrypted ClientHello, with another key if asked for one; nil:
	// it is not offered.
	HelloKeys func(rotate bool) (HelloKeys, error)

	// Metrics answers with metrics for Prometheus; nil: there are none.
	Metrics http.Handler

	Places route.Places // where clients are, for Explain; may be nil
	Log    *Log         // the last lines of Portway's own log; may be nil
	Logger *slog.Logger // for ports that do not answer; nil: nowhere
}

// Replica is one of a route's upstreams with its live state.
type Replica struct {
	route.Upstream
	InFlight int64
	LeftOut  string // why it gets no requests though it is Ready; empty: it does
}

// Server answers over HTTP what its OpenAPI document lists, and in Go by its methods,
// which may be called from any goroutine.
type Server struct {
	cfg      Config
	view     atomic.Pointer[view]
	tables   atomic.Uint64 // so far
	draining atomic.Bool
	mux      *http.ServeMux

	failures failures
	failed   *feed[Failure]
	history  *feed[Event]
	prober   prober
	news     chan struct{} // there is something to look at
}

var _ http.Handler = (*Server)(nil)

// New makes a Server that knows no table yet.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, mux: http.NewServeMux(), news: make(chan struct{}, 1),
		failed: newFeed[Failure](1), history: newFeed[Event](maxHistory), prober: prober{logger: cfg.Logger},
	}
	for _, e := range s.endpoints() {
		s.mux.HandleFunc(e.method+" "+e.path, e.handle)
	}
	return s
}

// SetTable takes the table that is served from now on.
func (s *Server) SetTable(t *route.Table) {
	v := newView(t)
	s.view.Store(v)
	s.tables.Add(1)
	s.failures.retain(func(id string) bool { return v.byID[id] != nil })
	s.wake()
}

// wake has Run look what is new.
func (s *Server) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// Draining makes health checks fail, so that whoever balances over several
// Portways sends no more requests here.
func (s *Server) Draining() { s.draining.Store(true) }

// ServeHTTP answers one question.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Reasons for not being healthy.
var (
	errStarting = errors.New("starting: the routes are not read yet")
	errDraining = errors.New("shutting down: finishing requests in flight")
)

func (s *Server) unhealthy() error {
	switch {
	case s.draining.Load():
		return errDraining
	case s.view.Load() == nil:
		return errStarting
	default:
		return nil
	}
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if err := s.unhealthy(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, s.Status())
}

func (s *Server) root(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Root == nil {
		http.Error(w, "this Portway has no internal CA", http.StatusNotFound)
		return
	}
	root, err := s.cfg.Root()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, root)
}
