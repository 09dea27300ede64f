package middleware

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// Fields that tell the origin who a client with a certificate is. RFC 9440 has the
// first. The proxy removes what clients send under these names.
var (
	nameClientCert        = []byte("Client-Cert")
	nameClientSubject     = []byte("X-Client-Cert-Subject")
	nameClientFingerprint = []byte("X-Client-Cert-Fingerprint")
)

// visitor is a client whose certificate is good.
type visitor struct {
	until                      time.Time // when the certificate, or one above it, ends
	cert, subject, fingerprint []byte    // values of fields
}

// visitors checks client certificates. To check one takes as long as to serve some
// requests, so those that were good are remembered.
type visitors struct {
	roots *x509.CertPool
	lists []*crl // of revoked certificates

	mu   sync.RWMutex
	good map[*x509.Certificate]*visitor
}

// maxVisitors bounds what is remembered.
const maxVisitors = 4096

func newVisitors(cas []*x509.Certificate, lists []*crl) *visitors {
	v := &visitors{roots: x509.NewCertPool(), lists: lists, good: make(map[*x509.Certificate]*visitor)}
	for _, ca := range cas {
		v.roots.AddCert(ca)
	}
	return v
}

// of returns who has shown the chain, whose key the handshake has proven.
func (v *visitors) of(chain []*x509.Certificate) (*visitor, error) {
	leaf, now := chain[0], time.Now()
	v.mu.RLock()
	known := v.good[leaf]
	v.mu.RUnlock()
	if known != nil && now.Before(known.until) {
		return known, nil
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	var listed time.Time // until when the lists hold
	if err == nil {
		chains, listed, err = v.unrevoked(chains, now)
	}
	if err != nil {
		return nil, fmt.Errorf("the client certificate of %q is not accepted: %w", printableName(leaf), err)
	}
	sum := sha256.Sum256(leaf.Raw)
	known = &visitor{
		until:       leaf.NotAfter,
		cert:        []byte(":" + base64.StdEncoding.EncodeToString(leaf.Raw) + ":"),
		subject:     printableName(leaf),
		fingerprint: []byte(hex.EncodeToString(sum[:])),
	}
	for _, c := range chains[0] {
		if c.NotAfter.Before(known.until) {
			known.until = c.NotAfter
		}
	}
	if !listed.IsZero() && listed.Before(known.until) {
		known.until = listed
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.good) >= maxVisitors {
		clear(v.good)
	}
	v.good[leaf] = known
	return known, nil
}

// unrevoked finds a chain of which nothing has been revoked.
func (v *visitors) unrevoked(chains [][]*x509.Certificate, now time.Time) (good [][]*x509.Certificate, until time.Time, err error) {
	for _, chain := range chains {
		if until, err = checkRevoked(v.lists, chain, now); err == nil {
			return [][]*x509.Certificate{chain}, until, nil
		}
	}
	return nil, until, err
}

// printableName is the subject as RFC 4514 writes it, in ASCII: other bytes are
// written as \ and two hexadecimal digits, which that RFC has for it.
func printableName(cert *x509.Certificate) []byte {
	var b []byte
	for _, c := range []byte(cert.Subject.String()) {
		if c < ' ' || c > '~' {
			b = fmt.Appendf(b, `\%02X`, c)
			continue
		}
		b = append(b, c)
	}
	return b
}

// ClientCertField tells whether a field is one of those that tell origins of client
// certificates. Origins that hand fields on as environment variables (CGI, WSGI) take
// "_" for "-", so it counts as the same.
func ClientCertField(name []byte) bool {
	if len(name) == 0 || name[0]|0x20 != 'c' && name[0]|0x20 != 'x' {
		return false
	}
	for _, n := range []string{"client-cert", "client-cert-chain", "x-client-cert-subject", "x-client-cert-fingerprint"} {
		if sameField(name, n) {
			return true
		}
	}
	return false
}
