// Package certs keeps a certificate for every name it is told: from an ACME CA
// for public names, from an internal CA for names no public CA certifies.
package certs

import (
	"log/slog"
	"time"
)

// Config is the policy for all names.
type Config struct {
	Storage   string // folder, created with mode 0700
	Directory string // ACME directory URL; empty: Let's Encrypt's production
	Roots     string // PEM file of roots to trust when speaking to Directory; empty: the system's
	Email     string // contact address; may be empty
	HTTPPort  int    // where HTTP-01 arrives, as mapped in here; 0: 80; negative: it does not, so that it is not tried
	TLSPort   int    // where TLS-ALPN-01 arrives; 0: 443; negative: as above
	Internal  bool   // every name from the internal CA, public ones too
	Logger    *slog.Logger
}

// Name is a name that needs a certificate: a host name, a wildcard like
// *.example.com, or an IP address, with what is wished of its certificate.
type Name struct {
	Name string
	Wishes
}

// Wishes are for one name. What is empty is as Config says.
type Wishes struct {
	Issuer    string // name of a CA
	Challenge string // http-01, tls-alpn-01 or dns-01
	KeyType   string // ec256, ec384, rsa2048 or rsa4096
	Profile   string // by the CA's name for it
}

// State says where a name's certificate stands.
type State string

// The states of a name.
const (
	Unknown State = ""        // not a name of ours
	Pending State = "pending" // none yet; being obtained, or waiting for the first try
	Valid   State = "valid"   // there is one; LastError tells if it could not be renewed
	Failed  State = "failed"  // none, or one that expired, and the last try failed; see LastError and NextTry
)

// Status is what is known about one name.
type Status struct {
	Name      string
	State     State
	Issuer    string    // "internal" or the CA's directory host
	NotAfter  time.Time // of the certificate that is served; zero if there is none
	LastError string    // the CA's own words, and what to do
	NextTry   time.Time // zero if none is planned
	Attempts  int       // failed tries in a row
}
