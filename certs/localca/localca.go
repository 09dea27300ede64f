// Package localca certifies names that no public CA certifies: a CA of the
// user's own, whose roots are kept in a folder. Devices have to trust them once.
//
// A root lives for ten years and signs intermediates, which live for 90 days, in
// memory only; they sign the certificates of names, which live for a week. A new
// root is bounded by name constraints (RFC 5280 section 4.2.1.10) to private names
// and addresses, so that whoever gets its key cannot speak for a bank. What it must
// not certify, such as a single word, comes from a second root, made at first need.
//
// Two years before a root ends, a successor takes over. Certificates then come with
// the successor as signed by the old root too, so that devices which trust either
// accept them until the old one ends.
package localca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// The lifetimes of certificates. Each is renewed when a third of it is left, but a
// root when overlap is.
const (
	rootLifetime         = 10 * 365 * 24 * time.Hour
	overlap              = 2 * 365 * 24 * time.Hour // of a root and its successor
	intermediateLifetime = 90 * 24 * time.Hour
	leafLifetime         = 7 * 24 * time.Hour
	backdated            = time.Hour // for clients whose clock is behind
)

// Config says where the roots are, and what they are for.
type Config struct {
	Folder string
	// Unbounded makes a new root one without name constraints, for all names. A root
	// that is there stays as it is.
	Unbounded bool
	Logger    *slog.Logger
}

// CA certifies names. Its methods may be called from any goroutine.
type CA struct {
	private *authority
	other   *authority // for names that the root of private must not certify
}

// New prepares a CA; the files are read, or made, at first need.
func New(cfg Config) *CA {
	return &CA{
		private: &authority{folder: cfg.Folder, base: "root", bounded: !cfg.Unbounded, log: cfg.Logger},
		other:   &authority{folder: cfg.Folder, base: "root-any", log: cfg.Logger},
	}
}

// Leaf holds the current certificate for one set of names. The zero value is empty.
type Leaf struct {
	mu     sync.Mutex // held while a certificate is made
	issued atomic.Pointer[issued]
}

type issued struct {
	cert *tls.Certificate
	by   *authority
	root *root
}

// current returns the certificate unless it is time for another: also when there is a
// new root, for who trusts only that.
func (l *Leaf) current() *tls.Certificate {
	i := l.issued.Load()
	if i == nil || !time.Now().Before(RenewalTime(i.cert.Leaf)) || i.by.current.Load().root != i.root {
		return nil
	}
	return i.cert
}

// Drop forgets the certificate, so that the next one is new.
func (l *Leaf) Drop() { l.issued.Store(nil) }

// Certify returns the certificate in l, and makes one for names (host names,
// wildcards, IP addresses) if there is none or it is time for another.
func (ca *CA) Certify(l *Leaf, names ...string) (*tls.Certificate, error) {
	return certify(l, names, ca.authorityFor)
}

// Provisional is Certify for a certificate that only has to complete a handshake:
// no root is made for the sake of clients' trust in it.
func (ca *CA) Provisional(l *Leaf, names ...string) (*tls.Certificate, error) {
	return certify(l, names, func([]string) (*authority, error) { return ca.private, nil })
}

func certify(l *Leaf, names []string, choose func([]string) (*authority, error)) (*tls.Certificate, error) {
	if cert := l.current(); cert != nil {
		return cert, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if cert := l.current(); cert != nil {
		return cert, nil
	}
	a, err := choose(names)
	if err != nil {
		return nil, err
	}
	s, err := a.signer()
	if err != nil {
		return nil, err
	}
	cert, err := s.issue(names)
	if err != nil {
		return nil, fmt.Errorf("internal CA: %w", err)
	}
	l.issued.Store(&issued{cert: cert, by: a, root: s.root})
	return cert, nil
}

// authorityFor chooses the narrowest root that may certify all names.
func (ca *CA) authorityFor(names []string) (*authority, error) {
	s, err := ca.private.signer()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !permits(s.root.cert, name) {
			return ca.other, nil
		}
	}
	return ca.private, nil
}

// Root is a root that devices may trust.
type Root struct {
	Cert *x509.Certificate
	PEM  []byte
	Path string // of the file that holds it
	// Bounded says that it is constrained to private names and addresses.
	Bounded bool
}

// Root returns the root for private names, which is made at first need.
func (ca *CA) Root() (Root, error) { return ca.private.describe() }

// Other returns the root for names that Root must not certify; ok is false while
// there are none.
func (ca *CA) Other() (root Root, ok bool, err error) {
	if !ca.other.exists() {
		return Root{}, false, nil
	}
	root, err = ca.other.describe()
	return root, err == nil, err
}

func (a *authority) describe() (Root, error) {
	s, err := a.signer()
	if err != nil {
		return Root{}, err
	}
	r := s.root
	return Root{
		Cert: r.cert, Path: a.certFile(r.generation), Bounded: constrained(r.cert),
		PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.cert.Raw}),
	}, nil
}

// signer is an intermediate with its key.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
	root *root
}

// issue makes a certificate for names.
func (s *signer) issue(names []string) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		NotBefore:    now.Add(-backdated),
		NotAfter:     earlier(now.Add(leafLifetime), s.cert.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
		// 64 is the limit of RFC 5280; clients look at the names above only. OpenSSL would
		// take an address here for a name, which no constraint permits.
		if template.Subject.CommonName == "" && len(name) <= 64 {
			template.Subject.CommonName = name
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.cert, key.Public(), s.key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	chain := [][]byte{der, s.cert.Raw}
	if s.root.cross != nil && time.Now().Before(s.root.cross.NotAfter) {
		chain = append(chain, s.root.cross.Raw)
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: parsed}, nil
}

// RenewalTime is when a third of a certificate's lifetime is left.
func RenewalTime(cert *x509.Certificate) time.Time {
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / 3)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// newSerial is random with 127 bits (RFC 5280 section 4.1.2.2).
func newSerial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}
