package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/quic-go/quic-go/http3"

	"portway/label"
	"portway/proxy/middleware"
	"portway/route"
)

// A handshake is about a host, before there is a request: it is held as the strictest
// of the host's routes wants it. What a single route wants is looked at again for each
// request, by middleware.ClientTLS.

// handshake is what the routes of a host want of handshakes together. It is comparable.
type handshake struct {
	minVersion uint16
	protocols  string // ALPN, by commas; empty: all
	asks       bool   // for a client certificate
	cas        string // whose, PEM
}

// handshakes are those of one table.
type handshakes struct {
	table   *route.Table
	configs sync.Map // handshake → *handshakeConfig
}

// handshakeConfig is what a handshake becomes for crypto/tls.
type handshakeConfig struct {
	tcp *tls.Config
	h3  *tls.Config // nil: there is no HTTP/3
}

// newHandshakes returns nil if no route wants anything, as it mostly is.
func newHandshakes(t *route.Table) *handshakes {
	for _, r := range t.Routes() {
		if clientTLS(r).Any() {
			return &handshakes{table: t}
		}
	}
	return nil
}

// clientTLS finds what r wants of its clients' connections.
func clientTLS(r *route.Route) *middleware.ClientTLS {
	i := slices.IndexFunc(r.Middleware, func(b label.Binder) bool { _, is := b.(*middleware.ClientTLS); return is })
	if i < 0 {
		return &middleware.ClientTLS{}
	}
	return r.Middleware[i].(*middleware.ClientTLS)
}

// add takes in what one more route wants. Where no protocol would be left, the routes
// that come later have to do without: they answer 421.
func (p *handshake) add(r *route.Route) {
	want := clientTLS(r)
	p.minVersion = max(p.minVersion, want.MinVersion)
	if len(want.Protocols) > 0 {
		both := want.Protocols
		if p.protocols != "" {
			have := strings.Split(p.protocols, ",")
			both = slices.DeleteFunc(slices.Clone(want.Protocols), func(name string) bool { return !slices.Contains(have, name) })
		}
		if len(both) > 0 {
			p.protocols = strings.Join(both, ",")
		}
	}
	if want.Auth != middleware.NoClientAuth {
		p.asks = true
		if !strings.Contains(p.cas, want.CA) {
			p.cas += want.CA + "\n"
		}
	}
	for _, m := range r.Members {
		if m.Route != r {
			p.add(m.Route)
		}
	}
}

// of gives the handshake for a name as in SNI; "" is for clients that connect to an address.
func (ps *handshakes) of(name string) handshake {
	var p handshake
	if ps == nil {
		return p
	}
	if name != "" {
		for r := range ps.table.OfHost(strings.ToLower(strings.TrimSuffix(name, "."))) {
			p.add(r)
		}
		return p
	}
	for _, r := range ps.table.Routes() {
		if slices.ContainsFunc(r.Hosts, func(host string) bool { _, err := netip.ParseAddr(host); return err == nil }) {
			p.add(r)
		}
	}
	return p
}

// allows tells whether p leaves a protocol to clients.
func (p *handshake) allows(protocol string) bool {
	return p.protocols == "" || slices.Contains(strings.Split(p.protocols, ","), protocol)
}

// Protocols tells which protocols of ALPN clients may choose for a host, which may be a
// wildcard, by the table that is served.
func (s *Server) Protocols(host string) []string {
	p := s.handshakes().of(host)
	all := []string{http3.NextProtoH3, alpnHTTP2, alpnHTTP1}
	return slices.DeleteFunc(all, func(protocol string) bool {
		return protocol == http3.NextProtoH3 && s.http3 == nil || !p.allows(protocol)
	})
}

// handshakes returns those of the table that is served; nil: nothing is wanted.
func (s *Server) handshakes() *handshakes {
	if t := s.table.Load(); t != nil {
		return t.handshakes
	}
	return nil
}

// configForClient chooses how the handshake of a client is held.
func (s *Server) configForClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if slices.Equal(hello.SupportedProtos, []string{alpnChallenge}) {
		return nil, nil
	}
	c := s.handshakeConfig(hello)
	if c == nil {
		return nil, nil
	}
	return c.tcp, nil
}

// h3ConfigForClient is configForClient for HTTP/3.
func (s *Server) h3ConfigForClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c := s.handshakeConfig(hello)
	switch {
	case c == nil:
		return nil, nil
	case c.h3 == nil:
		return nil, errors.New("the host is not served by HTTP/3")
	default:
		return c.h3, nil
	}
}

// handshakeConfig returns nil for the default.
func (s *Server) handshakeConfig(hello *tls.ClientHelloInfo) *handshakeConfig {
	ps := s.handshakes()
	if ps == nil {
		return nil
	}
	p := ps.of(hello.ServerName)
	if p == (handshake{}) {
		return nil
	}
	if c, ok := ps.configs.Load(p); ok {
		return c.(*handshakeConfig)
	}
	c, _ := ps.configs.LoadOrStore(p, s.newHandshakeConfig(&p))
	return c.(*handshakeConfig)
}

func (s *Server) newHandshakeConfig(p *handshake) *handshakeConfig {
	cfg := s.tls.Clone()
	cfg.GetConfigForClient = nil
	cfg.MinVersion = max(cfg.MinVersion, p.minVersion)
	cfg.NextProtos = slices.DeleteFunc(slices.Clone(cfg.NextProtos), func(name string) bool {
		return name != alpnChallenge && !p.allows(name)
	})
	if p.asks {
		// Whether it is good, and needed, is for each route to say: by an answer that
		// people can read, where a broken handshake would only look like a fault.
		cfg.ClientAuth = tls.RequestClientCert
		cfg.ClientCAs = x509.NewCertPool() // of whom browsers are to offer some
		cfg.ClientCAs.AppendCertsFromPEM([]byte(p.cas))
		// Who resumes a session is not asked again. So only sessions are resumed in which
		// the same was asked: with keys of their own, which change like the others.
		tickets := &tls.Config{Time: cfg.Time}
		cfg.WrapSession, cfg.UnwrapSession = tickets.EncryptTicket, tickets.DecryptTicket
	}
	c := &handshakeConfig{tcp: cfg}
	if p.allows(http3.NextProtoH3) {
		c.h3 = http3.ConfigureTLSConfig(cfg)
	}
	return c
}
