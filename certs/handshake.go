package certs

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
)

// loadWait is how long a handshake waits for certificates to be read from the
// storage, which matters in the first moments after the start only.
const loadWait = 3 * time.Second

// GetCertificate answers a TLS handshake, the TLS-ALPN-01 challenge included
// (the caller's NextProtos must have "acme-tls/1"). For a name of ours without
// a certificate, it gives a temporary one by the internal CA, so that the
// client can be told why (see Status). For a name that is not ours it gives
// nil and no error, which crypto/tls turns into the alert unrecognized_name.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := m.names.Load()
	if hello.ServerName == "" {
		return m.withoutName(all, hello)
	}
	asksChallenge := slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol})
	host := hello.ServerName
	e := all.exact[host] // mostly it is normal already, and to find that out costs more
	if e == nil {
		host = normalize(host)
		if asksChallenge {
			host = reversedAddress(host)
		}
		e = all.find(host)
	}
	if e == nil && !asksChallenge && len(all.rules) > 0 {
		e = m.demand(hello.Context(), all, host)
	}
	if e == nil {
		return nil, nil
	}
	if asksChallenge && e.kind == public {
		return m.magic.GetCertificate(hello)
	}
	return m.certificate(hello, e, host)
}

// certificate is the best that there is for e.
func (m *Manager) certificate(hello *tls.ClientHelloInfo, e *entry, host string) (*tls.Certificate, error) {
	if cert := m.ownMatch(e, host, hello); cert != nil {
		return cert, nil
	}
	if e.kind != public {
		return e.internalCert(m.ca, host)
	}
	if e.rule.Load() != nil {
		e.visited.Store(time.Now().Unix())
	}
	if cert := e.best(); cert != nil {
		return cert, nil
	}
	awaitLoad(hello.Context(), e)
	awaitGuest(hello.Context(), e)
	if cert := e.best(); cert != nil {
		return cert, nil
	}
	return e.internalCert(m.ca, host)
}

// reversedAddress gives the IP address that a TLS-ALPN-01 challenge names in the
// form of reverse DNS (RFC 8738 section 6), and other names as they are.
func reversedAddress(host string) string {
	if bare, ok := strings.CutSuffix(host, ".in-addr.arpa"); ok {
		parts := strings.Split(bare, ".")
		slices.Reverse(parts)
		return normalize(strings.Join(parts, "."))
	}
	if bare, ok := strings.CutSuffix(host, ".ip6.arpa"); ok {
		digits := []byte(strings.ReplaceAll(bare, ".", ""))
		slices.Reverse(digits)
		var groups []string
		for group := range slices.Chunk(digits, 4) {
			groups = append(groups, string(group))
		}
		return normalize(strings.Join(groups, ":"))
	}
	return host
}

// withoutName serves clients that connect to an IP address: they send no name
// (RFC 6066 section 3).
func (m *Manager) withoutName(all *names, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(all.ips) == 0 {
		return nil, nil
	}
	if hello.Conn != nil {
		if host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String()); err == nil {
			if e := all.find(normalize(host)); e != nil {
				return m.certificate(hello, e, e.name)
			}
		}
		if e := m.onlyPublic(all); e != nil && fromOutside(hello.Conn.RemoteAddr()) {
			return m.certificate(hello, e, e.name)
		}
	}
	for _, name := range all.ips {
		if cert := m.ownMatch(all.exact[name], name, hello); cert != nil {
			return cert, nil
		}
	}
	// Behind a port mapping our own address is not the one the client used.
	return m.ca.Certify(all.ipLeaf, all.ips...)
}

// onlyPublic returns the entry of the one public address that is to be certified;
// nil if there are several, or none.
func (m *Manager) onlyPublic(all *names) *entry {
	var only *entry
	for _, ip := range all.ips {
		if e := all.exact[ip]; e.kind == public {
			if only != nil {
				return nil
			}
			only = e
		}
	}
	return only
}

func fromOutside(remote net.Addr) bool {
	addr, err := netip.ParseAddrPort(remote.String())
	return err == nil && publicAddress(addr.Addr().Unmap())
}

func awaitLoad(ctx context.Context, e *entry) {
	select {
	case <-e.loaded:
		return
	default:
	}
	if ctx == nil { // hello was made by hand, not by crypto/tls
		ctx = context.Background()
	}
	timer := time.NewTimer(loadWait)
	defer timer.Stop()
	select {
	case <-e.loaded:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// HTTPChallenge answers HTTP-01 requests below /.well-known/acme-challenge/
// and leaves the others to next.
func (m *Manager) HTTPChallenge(next http.Handler) http.Handler {
	if m.challenge == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !certmagic.LooksLikeHTTPChallenge(r) || !m.publicHost(r.Host) || !m.challenge(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// publicHost tells whether a Host field names something that the ACME CA
// certifies, so that other requests cost nothing.
func (m *Manager) publicHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	e := m.names.Load().find(normalize(host))
	return e != nil && e.kind == public
}
