// Package proxy serves the current route table: listeners, protocol fronts, and
// the way of a request from its route to an upstream and back.
package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"portway/route"
)

// Certificates is what the proxy needs to terminate TLS.
type Certificates interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// HTTPChallenge answers ACME's HTTP-01 requests and leaves others to next.
	HTTPChallenge(next http.Handler) http.Handler
	// Hold tells, for a host whose certificate is not there yet, what to tell a
	// visitor in one sentence and when to come back; ok is false if all is well.
	Hold(host string) (why string, retry time.Duration, hold bool)
}

// Config is what a Server works with.
type Config struct {
	HTTP    []string       // addresses for plain HTTP; empty: none
	HTTPS   []string       // addresses for TLS; empty: none
	Trusted []netip.Prefix // proxies whose X-Forwarded-* and Forwarded are believed
	// HTTPSPort is the port that clients reach HTTPS at, for redirects; 0: that of the first address in HTTPS.
	HTTPSPort int
	Drain     time.Duration // how long Run waits for requests in flight; 0: 30 s
	Certs     Certificates
	Logger    *slog.Logger
}

// Server is the data plane.
type Server struct{}

// New opens the listeners, so that an address in use is reported at the start.
func New(cfg Config) (*Server, error) { panic("not yet") }

// SetTable serves t from the next request on. Requests in flight finish by the
// table they began with. State of upstreams and routes that stay is kept.
func (s *Server) SetTable(t *route.Table) {}

// Run serves until ctx is done, then stops accepting and waits for requests in
// flight, at most Config.Drain; it returns nil after a clean end.
func (s *Server) Run(ctx context.Context) error { panic("not yet") }
