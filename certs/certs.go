// Package certs keeps a certificate for every name it is told: from an ACME CA
// for public names, from an internal CA for names no public CA certifies.
package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"time"

	"portway/certs/budget"
	"portway/certs/preflight"
)

// Config is the policy for all names.
type Config struct {
	Storage      string             // folder, created with mode 0700
	CAs          []CA               // beside those that are known by name, or in place of one of them
	Use          []string           // CAs to ask, in order, by name or URL; empty: Directory if given, else Let's Encrypt and, with an Email, ZeroSSL
	Directory    string             // ACME directory URL of the one CA to use
	Roots        string             // PEM file of roots to trust when speaking to CAs; empty: the system's
	Email        string             // contact address; may be empty
	KeyType      string             // as in Wishes; empty: ec256
	ReuseKeys    bool               // a renewed certificate has the key of the one before
	HTTPPort     int                // where HTTP-01 arrives, as mapped in here; 0: 80; negative: it does not, so that it is not tried
	TLSPort      int                // where TLS-ALPN-01 arrives; 0: 443; negative: as above
	DNS          DNSSolver          // answers DNS-01; nil: that challenge is not used, and there are no public wildcards
	Internal     bool               // every name from the internal CA, public ones too, unless its wishes say otherwise
	Limits       budget.Limits      // of CAs that have not published any; zero: none
	Files        string             // folder of the user's own certificates, which go before all others; empty: none
	Password     string             // of PKCS#12 files there; may be empty
	Preflight    *preflight.Checker // looks at names before the first order, if the CA is known by name; nil: nothing does
	PreflightAll bool               // with any CA
	ReachPort    int                // where the CA would look for us, for Preflight; as preflight.Target.Port
	ReachTLSPort int                // the same by TLS; as preflight.Target.TLSPort
	Logger       *slog.Logger
}

// Name is a name that needs a certificate: a host name, a wildcard like
// *.example.com, or an IP address, with what is wished of its certificate. With
// Wishes.OnDemand, a wildcard, or a regular expression with "~" in front, is no name
// itself, but stands for hosts that are not known beforehand.
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
	Wildcard  string // always, or never: whether the wildcard above is to cover it; empty: if it is there
	OnDemand  OnDemand
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
	Name   string
	State  State
	Issuer string // name of the CA: "internal", "own", as in Config, or the host of a directory given by URL

	// Of the certificate that is served; zero if there is none.
	NotBefore, NotAfter time.Time
	NextRenewal         time.Time
	Serial              string // hexadecimal
	Fingerprint         string // SHA-256, hexadecimal
	KeyType             string // ec256, ec384, rsa2048, rsa4096
	Profile             string // that was asked for; may be empty
	Challenge           string // as in Wishes, by which the CA was shown that the name is ours; empty: not known, or none
	OnDemand            bool   // the host was not known beforehand
	Wildcard            string // the name whose certificate this one shares; empty: it has its own

	LastError string    // the CA's own words, and what to do
	NextTry   time.Time // zero if none is planned
	Attempts  int       // failed tries in a row
}

// statusOf is the status of a name whose certificate is cert.
func statusOf(name string, cert *tls.Certificate) Status {
	sum := sha256.Sum256(cert.Leaf.Raw)
	return Status{
		Name: name, State: Valid,
		NotBefore: cert.Leaf.NotBefore, NotAfter: cert.Leaf.NotAfter,
		Serial: cert.Leaf.SerialNumber.Text(16), Fingerprint: hex.EncodeToString(sum[:]),
		KeyType: keyTypeOf(cert),
	}
}
