// Package admin answers questions about the running Portway: whether it serves,
// what it serves, what was rejected and why. It is reached over the control
// socket.
package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"

	"portway/label"
	"portway/route"
)

// Config is what a Server tells besides the current table.
type Config struct {
	Version string

	// Upstreams gives a route's upstreams with what the proxy has found out about
	// them; nil: they are as in the table.
	Upstreams func(*route.Route) []route.Upstream

	// Certificates lists every name's certificate; nil: none.
	Certificates func() []Certificate

	// Problems gives problems besides those of the table; nil: there are none.
	Problems func() []label.Problem

	// Purge drops stored answers and tells how many there were; nil: there is no cache.
	Purge func(Purge) (int, error)

	// Root gives the internal CA's root in PEM and the file that holds it; nil: none.
	Root func() (pem []byte, path string, err error)
}

// Server answers over HTTP:
//
//	GET /healthz      200 once the first table is served, 503 with the reason before and while shutting down
//	GET /v1/status    Status as JSON
//	GET /v1/ca        Root as JSON
//	POST /v1/purge    takes a Purge as JSON, answers with Purged
type Server struct {
	cfg      Config
	table    atomic.Pointer[route.Table]
	draining atomic.Bool
	mux      *http.ServeMux
}

var _ http.Handler = (*Server)(nil)

// New makes a Server that knows no table yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /healthz", s.health)
	s.mux.HandleFunc("GET /v1/status", s.status)
	s.mux.HandleFunc("GET /v1/ca", s.root)
	s.mux.Handle("POST /v1/purge", purger(cfg.Purge))
	return s
}

// SetTable takes the table that is served from now on.
func (s *Server) SetTable(t *route.Table) { s.table.Store(t) }

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
	case s.table.Load() == nil:
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
	pem, path, err := s.cfg.Root()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, Root{PEM: string(pem), Path: path})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client has gone: nobody is left to be told
}
