package middleware

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"portway/label"
	"portway/proxy/exchange"
)

// ClientAuth is whether clients show a certificate.
type ClientAuth string

// The kinds of ClientAuth.
const (
	NoClientAuth ClientAuth = ""
	Request      ClientAuth = "request"
	Require      ClientAuth = "require"
)

// ClientTLS is what a route asks of the TLS connections of its clients. A handshake
// is about a host, before any route is known; the proxy asks there for what the
// strictest route of the host wants. As a middleware, ClientTLS then holds each request
// against its own route: also one that came over a connection for another host
// (RFC 9113 section 9.1.1), which must not lead around any of this.
type ClientTLS struct {
	MinVersion uint16   // 0: the default
	Protocols  []string // that ALPN may choose: h3, h2, http/1.1; nil: all
	Auth       ClientAuth
	CA         string // PEM
	CRL        string // PEM; empty: nothing is known of revoked certificates
}

var _ Middleware = (*ClientTLS)(nil)

// protocols are those of clients, by their names in ALPN.
var protocols = []string{"h3", "h2", "http/1.1"}

// Labels binds tls.min-version, tls.alpn, tls.client-auth, tls.client-ca and tls.client-crl.
func (m *ClientTLS) Labels(s *label.Set) {
	versions := []string{"1.2", "1.3"}
	s.Func("tls.min-version", "1.2 | 1.3", "Oldest version of TLS for the route's hosts.", func(value string) error {
		i := slices.Index(versions, value)
		if i < 0 {
			return &label.Error{Why: label.Quote(value) + " is no version that can be chosen here", Fix: "write 1.2 or 1.3"}
		}
		m.MinVersion = []uint16{tls.VersionTLS12, tls.VersionTLS13}[i]
		return nil
	}, label.Default("1.2"), label.Example("1.3"))
	s.Each("tls.alpn", "Protocols that clients of the route's hosts may speak: `h3`, `h2`, `http/1.1`. Without, all of them.",
		func(item string) error {
			if !slices.Contains(protocols, item) {
				return &label.Error{Why: label.Quote(item) + " is no protocol that Portway speaks", Fix: "write h3, h2 or http/1.1"}
			}
			m.Protocols = append(m.Protocols, item)
			return nil
		}, label.Example("http/1.1"))
	s.Check("tls.alpn", func() error {
		if slices.Equal(m.Protocols, []string{"h3"}) {
			return &label.Error{Why: "h3 alone cannot be found by clients, who learn of it over another one", Fix: "write h3, h2"}
		}
		return nil
	})
	label.Enum(s, &m.Auth, "tls.client-auth", NoClientAuth, []ClientAuth{Request, Require},
		"Ask clients for a certificate by `tls.client-ca`. `require`: who has none gets 403. `request`: they get in without as well. The application is told who it is; see [client certificates](certificates.md#client-certificates).",
		label.Needs("tls.client-ca"), label.Example("require"))
	s.Func("tls.client-ca", "PEM certificates", "CAs whose client certificates are good.", func(value string) error {
		if _, err := parseCAs(value); err != nil {
			return err
		}
		m.CA = value
		return nil
	}, label.Secret(), label.Needs("tls.client-auth"), label.Example("file:/run/secrets/client-ca.pem"))
	s.Func("tls.client-crl", "PEM lists", "Certificates that CAs of `tls.client-ca` have revoked. Who shows one is treated like who shows none. A list that has ended lets in nobody with a certificate by its CA.",
		func(value string) error { m.CRL = value; return nil },
		label.Secret(), label.Needs("tls.client-ca"), label.Example("file:/run/secrets/client-crl.pem"))
	s.Check("tls.client-crl", func() error { _, err := parseCRLs(m.CRL, m.CAs()); return err })
}

// parseCAs reads the certificates of CAs.
func parseCAs(text string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !cert.IsCA {
			return nil, &label.Error{Why: "one of its certificates is not a CA's, or damaged", Fix: "give the certificates of CAs, in PEM", Safe: true}
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, &label.Error{Why: "there is no PEM certificate in it", Fix: "give file:/path of a file with the CA's certificate", Safe: true}
	}
	return all, nil
}

// CAs are those whose client certificates are good.
func (m *ClientTLS) CAs() []*x509.Certificate {
	if m.CA == "" {
		return nil
	}
	all, _ := parseCAs(m.CA) // Labels has looked at it
	return all
}

// Any tells whether anything is asked for.
func (m *ClientTLS) Any() bool {
	return m.MinVersion > 0 || len(m.Protocols) > 0 || m.Auth != NoClientAuth
}

// Wrap adds the guard, if anything is asked for.
func (m *ClientTLS) Wrap(next exchange.Handler) exchange.Handler {
	if !m.Any() {
		return next
	}
	g := &tlsGuard{ClientTLS: *m, next: next}
	if m.Auth != NoClientAuth {
		g.visitors = newVisitors(m.CAs(), m.lists())
	}
	return g
}

// tlsGuard is a ClientTLS at work.
type tlsGuard struct {
	ClientTLS
	next     exchange.Handler
	visitors *visitors // nil: clients are not asked for certificates
}

// Serve lets requests through whose connection is as the route wants it.
func (g *tlsGuard) Serve(ex *exchange.Exchange) {
	c := ex.Conn
	switch {
	case c.TLS == nil && g.Auth == Require:
		refuse(ex, http.StatusForbidden, "This site is for visitors with a client certificate, which only HTTPS can carry.")
	case c.TLS != nil && !g.suits(ex):
		misdirected(ex)
	case c.TLS == nil || g.visitors == nil:
		g.next.Serve(ex)
	default:
		g.identify(ex)
	}
}

// suits tells whether the connection was made for the request's host, by the rules
// that are in force now.
func (g *tlsGuard) suits(ex *exchange.Exchange) bool {
	c := ex.Conn
	return sameHost(c.TLS.ServerName, ex.Request.Authority) && c.TLS.Version >= g.MinVersion &&
		(len(g.Protocols) == 0 || slices.Contains(g.Protocols, alpn(c.Protocol))) &&
		(g.Auth == NoClientAuth || c.ClientAsked)
}

func alpn(p exchange.Protocol) string {
	switch p {
	case exchange.HTTP3:
		return "h3"
	case exchange.HTTP2:
		return "h2"
	default:
		return "http/1.1"
	}
}

// sameHost tells whether a connection for name, as in SNI, is one for authority. Of
// an address there is no name (RFC 6066 section 3).
func sameHost(name string, authority []byte) bool {
	host := authority
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	host = bytes.TrimSuffix(host, []byte("."))
	if name == "" {
		_, err := netip.ParseAddr(string(bytes.Trim(host, "[]")))
		return err == nil
	}
	return strings.EqualFold(strings.TrimSuffix(name, "."), string(host))
}

// misdirected sends clients to a connection of its own for this host (RFC 9110
// section 15.5.20): they try again by themselves.
func misdirected(ex *exchange.Exchange) {
	refuse(ex, http.StatusMisdirectedRequest, "This site wants a connection of its own. Reload the page.")
}

// identify finds out who the client is.
func (g *tlsGuard) identify(ex *exchange.Exchange) {
	ex.Request.Fields.DelFunc(func(name, _ []byte) bool { return ClientCertField(name) }) // by a proxy in front of us
	peer := ex.Conn.TLS.PeerCertificates
	if len(peer) == 0 {
		if g.Auth == Require {
			refuse(ex, http.StatusForbidden, "This site is for visitors with a client certificate, and your browser has shown none.")
			return
		}
		g.next.Serve(ex)
		return
	}
	v, err := g.visitors.of(peer)
	if err != nil {
		if g.Auth == Require {
			ex.Failure = err
			refuse(ex, http.StatusForbidden, notAccepted(err))
			return
		}
		g.next.Serve(ex) // as a stranger
		return
	}
	q := &ex.Request
	q.Fields.Add(nameClientCert, v.cert)
	q.Fields.Add(nameClientSubject, v.subject)
	q.Fields.Add(nameClientFingerprint, v.fingerprint)
	ex.Identified = true
	g.next.Serve(ex)
}

// notAccepted tells visitors why their certificate is not good.
func notAccepted(err error) string {
	var over *listOverError
	switch {
	case errors.Is(err, errRevoked):
		return "Your client certificate has been revoked."
	case errors.As(err, &over):
		return "Whether your client certificate is still good cannot be told at the moment."
	default:
		return "Your client certificate is not one that this site accepts, or it has ended."
	}
}
