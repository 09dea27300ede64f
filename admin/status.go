package admin

import (
	"time"

	"portway/label"
	"portway/route"
)

// Status is what is served now, what was rejected, and how certificates stand.
type Status struct {
	Version      string        `json:"version"`
	Healthy      bool          `json:"healthy"`
	Reason       string        `json:"reason,omitempty"` // why it is not healthy
	Routes       []Route       `json:"routes"`
	Problems     []Problem     `json:"problems"`
	Certificates []Certificate `json:"certificates"`
	Runtime      Runtime       `json:"runtime"`
}

// Route is one site, or one path of a site.
type Route struct {
	Name      string     `json:"name"`
	Source    string     `json:"source"`
	Hosts     []string   `json:"hosts"`
	Path      string     `json:"path"`
	HTTPS     string     `json:"https"`
	Upstreams []Upstream `json:"upstreams"`
}

// Upstream is one replica of a route's origin.
type Upstream struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Scheme  string `json:"scheme"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
}

// Problem is a label.Problem.
type Problem struct {
	Source string `json:"source"`
	Label  string `json:"label,omitempty"`
	Why    string `json:"why"`
	Fix    string `json:"fix,omitempty"`
}

// Certificate is what is known about one name's certificate.
type Certificate struct {
	Name      string     `json:"name"`
	State     string     `json:"state"` // pending, valid or failed
	Issuer    string     `json:"issuer,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	LastError string     `json:"last_error,omitempty"`
	NextTry   *time.Time `json:"next_try,omitempty"`
	Attempts  int        `json:"attempts,omitempty"` // failed tries in a row
}

// Root is the internal CA's root certificate.
type Root struct {
	PEM  string `json:"pem"`
	Path string `json:"path"` // as Portway sees it, perhaps in its container
}

// Status gathers the answer to GET /v1/status.
func (s *Server) Status() Status {
	st := Status{Version: s.cfg.Version, Healthy: true, Routes: []Route{}, Problems: []Problem{}, Certificates: []Certificate{}, Runtime: readRuntime()}
	if err := s.unhealthy(); err != nil {
		st.Healthy, st.Reason = false, err.Error()
	}
	if s.cfg.Certificates != nil {
		st.Certificates = append(st.Certificates, s.cfg.Certificates()...)
	}
	if s.cfg.Problems != nil {
		for _, p := range s.cfg.Problems() {
			st.Problems = append(st.Problems, problem(p))
		}
	}
	t := s.table.Load()
	if t == nil {
		return st
	}
	for _, r := range t.Routes() {
		upstreams := r.Upstreams
		if s.cfg.Upstreams != nil {
			upstreams = s.cfg.Upstreams(r)
		}
		st.Routes = append(st.Routes, describe(r, upstreams))
	}
	for _, p := range t.Problems() {
		st.Problems = append(st.Problems, problem(p))
	}
	return st
}

func describe(r *route.Route, upstreams []route.Upstream) Route {
	d := Route{Name: r.Name, Source: r.Source, Hosts: r.Hosts, Path: r.Path, HTTPS: string(r.HTTPS), Upstreams: []Upstream{}}
	for _, u := range upstreams {
		d.Upstreams = append(d.Upstreams, Upstream{Name: u.Name, Address: u.Address, Scheme: string(u.Scheme), State: u.State.String(), Reason: u.Reason})
	}
	return d
}

func problem(p label.Problem) Problem {
	return Problem{Source: p.Source, Label: p.Key, Why: p.Why, Fix: p.Fix}
}
