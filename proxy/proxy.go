// Package proxy serves the current route table: listeners, protocol fronts, and
// the way of a request from its route to an upstream and back.
package proxy

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"portway/proxy/cache"
	"portway/proxy/observe"
	"portway/route"
)

// Certificates is what the proxy needs to terminate TLS.
type Certificates interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// HTTPChallenge answers ACME's HTTP-01 requests and leaves others to next. Only
	// plain-HTTP requests below /.well-known/acme-challenge/ are given to it.
	HTTPChallenge(next http.Handler) http.Handler
	// Hold tells, for a host (lower case, without port) whose certificate is not
	// there yet, what to tell a visitor in one sentence and when to come back; hold
	// is false if all is well. It is called for each request.
	Hold(host string) (why string, retry time.Duration, hold bool)
}

// Config is what a Server works with.
type Config struct {
	HTTP  []string // addresses for plain HTTP; empty: none
	HTTPS []string // addresses for TLS; empty: none
	HTTP3 bool     // HTTP/3 at the UDP ports of HTTPS, where they can be opened; not if Listeners is set
	// Listeners are those addresses, opened before by Listen, for example while the
	// process was still root; nil: New opens them. The Server closes them.
	Listeners *Listeners
	// Plain answers plain-HTTP requests for a path, whatever their host, ahead of
	// routes and redirects, for example "/.well-known/portway/ca.crt". May be nil.
	Plain map[string]http.Handler
	// Secure is the same for requests that came by HTTPS, to us or to a trusted proxy; all
	// its paths begin with /.well-known/.
	Secure map[string]http.Handler

	// ProxyProtocolFrom are the load balancers that begin each connection with a
	// header of the PROXY protocol, version 1 or 2, and are believed.
	ProxyProtocolFrom []netip.Prefix
	Trusted           []netip.Prefix // proxies whose X-Forwarded-* and Forwarded are believed
	// HTTPSPort is the port that clients reach HTTPS at, for redirects; 0: that of
	// the first address in HTTPS. If there is none either, nothing is redirected, and
	// routes that would be are served over plain HTTP.
	HTTPSPort int
	// HTTP3After is closed when UDP sockets may be read, since a predecessor does so
	// no more; nil: at once.
	HTTP3After <-chan struct{}
	Places     route.Places  // where clients are, for routes that ask for it; may be nil
	Cache      *cache.Cache  // what routes store answers in; nil: one of the default size. The Server closes it
	Drain      time.Duration // how long Run waits for requests in flight; 0: 30 s
	Certs      Certificates  // may be nil if HTTPS is empty
	// HelloKeys are those of Encrypted ClientHello, as for crypto/tls; nil: it is not offered.
	HelloKeys func(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error)
	// Observer is told of every request, but for the copies that mirrors get. May be nil.
	Observer observe.Observer
	Logger   *slog.Logger

	// OwnerPages has error pages tell clients on this machine itself why, and what to
	// type to learn more.
	OwnerPages bool
	// Owners are others who are told so, wherever they are, with a link. May be nil.
	Owners Owners

	// Failed is told each request that Portway itself had to answer. It must not
	// block. May be nil.
	Failed func(Failure)
}

// limits are the time limits towards clients. A body may take as long as it
// likes, as long as it moves.
type limits struct {
	handshake time.Duration // TLS
	head      time.Duration // from a request's first byte to the end of its head; and for a new connection to send its first byte
	idle      time.Duration // silence in the middle of a body
	keepAlive time.Duration // silence between requests
}

var defaultLimits = limits{
	handshake: 10 * time.Second,
	head:      30 * time.Second,
	idle:      60 * time.Second,
	keepAlive: 3 * time.Minute,
}

const (
	defaultDrain = 30 * time.Second
	maxHead      = 64 << 10
)
