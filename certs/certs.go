// Package certs keeps a certificate for every name it is told: from an ACME CA
// for public names, from an internal CA for names no public CA certifies.
package certs

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// Config is the policy for all names.
type Config struct {
	Storage   string // folder, created with mode 0700
	Directory string // ACME directory URL; empty: Let's Encrypt's production
	Roots     string // PEM file of roots to trust when speaking to Directory; empty: the system's
	Email     string // contact address; may be empty
	HTTPPort  int    // where HTTP-01 arrives, as mapped in here; 0: 80
	TLSPort   int    // where TLS-ALPN-01 arrives; 0: 443
	Internal  bool   // every name from the internal CA, public ones too
	Logger    *slog.Logger
}

// State says where a name's certificate stands.
type State string

// The states of a name.
const (
	Unknown State = ""        // not a name of ours
	Pending State = "pending" // none yet; being obtained, or waiting for the next try
	Valid   State = "valid"
	Failed  State = "failed" // none, and the last try failed; see LastError and NextTry
)

// Status is what is known about one name.
type Status struct {
	Name      string
	State     State
	Issuer    string // "internal" or the CA's directory host
	NotAfter  time.Time
	LastError string    // the CA's own words, and what to do
	NextTry   time.Time // zero if none is planned
	Attempts  int       // failed tries in a row
}

// Manager obtains, renews and serves certificates.
type Manager struct{}

// New opens the storage and prepares issuers; it speaks to no CA. It fails if
// the storage cannot be written or a file it is told to read is wrong.
func New(cfg Config) (*Manager, error) { panic("not yet") }

// Run does the work until ctx is done.
func (m *Manager) Run(ctx context.Context) error { panic("not yet") }

// SetNames says which names need a certificate from now on. It returns at
// once; names that vanished stop being renewed, and their files stay.
func (m *Manager) SetNames(names []string) { panic("not yet") }

// GetCertificate answers a TLS handshake, the TLS-ALPN-01 challenge included.
// For a name of ours without a certificate, it gives a temporary one by the
// internal CA, so that the client can be told why (see Status); for a name
// that is not ours an error.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	panic("not yet")
}

// HTTPChallenge answers HTTP-01 requests below /.well-known/acme-challenge/
// and leaves the others to next.
func (m *Manager) HTTPChallenge(next http.Handler) http.Handler { panic("not yet") }

// Status tells about one host (which may fall under a wildcard name). It is
// cheap enough for each request.
func (m *Manager) Status(host string) Status { panic("not yet") }

// All tells about every name, sorted.
func (m *Manager) All() []Status { panic("not yet") }

// Root returns the internal CA's root certificate in PEM, and the path of the
// file that holds it. The root is made at first need.
func (m *Manager) Root() (pem []byte, path string, err error) { panic("not yet") }
