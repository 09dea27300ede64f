package admin

import (
	"time"

	"portway/label"
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

// Certificate is what is known about one name's certificate.
type Certificate struct {
	Name        string     `json:"name"`
	State       string     `json:"state"` // pending, valid or failed
	Issuer      string     `json:"issuer,omitempty"`
	Challenge   string     `json:"challenge,omitempty"` // http-01, tls-alpn-01 or dns-01: how the CA was shown that the name is ours
	Wildcard    string     `json:"wildcard,omitempty"`  // the name whose certificate this one shares
	OnDemand    bool       `json:"on_demand,omitempty"` // the host was not known before a visitor came
	NotAfter    *time.Time `json:"not_after,omitempty"`
	NextRenewal *time.Time `json:"next_renewal,omitempty"`
	LastError   string     `json:"last_error,omitempty"`
	NextTry     *time.Time `json:"next_try,omitempty"`
	Attempts    int        `json:"attempts,omitempty"` // failed tries in a row
}

// Root is the internal CA's root certificate.
type Root struct {
	PEM  string `json:"pem"`
	Path string `json:"path"` // as Portway sees it, perhaps in its container
	// Bounded says that it can certify private names and addresses only. What it must not
	// certify comes from another one, if there are such names.
	Bounded   bool   `json:"bounded"`
	OtherPEM  string `json:"other_pem,omitempty"`
	OtherPath string `json:"other_path,omitempty"`
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
	for _, p := range s.otherProblems() {
		st.Problems = append(st.Problems, problem(p))
	}
	v := s.view.Load()
	if v == nil {
		return st
	}
	for _, r := range v.Routes() {
		st.Routes = append(st.Routes, s.describe(r))
	}
	for _, p := range v.Problems() {
		st.Problems = append(st.Problems, problem(p))
	}
	return st
}

// otherProblems are those that the table does not have.
func (s *Server) otherProblems() []label.Problem {
	if s.cfg.Problems == nil {
		return nil
	}
	return s.cfg.Problems()
}
