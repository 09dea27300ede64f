package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"

	"portway/internal/atomicfile"
)

// The lifetimes of the internal CA's certificates.
const (
	rootLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime = 7 * 24 * time.Hour // renewed when a third is left
	backdated    = time.Hour          // for clients whose clock is behind
)

// internalCA certifies names that no public CA certifies. Its root is kept in
// a folder; the certificates of names are cheap, and kept in memory only.
type internalCA struct {
	folder string
	log    *slog.Logger

	mu       sync.Mutex // held while the root is made or read
	root     atomic.Pointer[rootCA]
	err      error     // why there is none
	failedAt time.Time // when err was found
}

// failurePause is how long a failure stands, so that handshakes neither hammer
// the disk nor fill the log.
const failurePause = 10 * time.Second

type rootCA struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

func (ca *internalCA) certFile() string { return filepath.Join(ca.folder, "root.crt") }
func (ca *internalCA) keyFile() string  { return filepath.Join(ca.folder, "root.key") }

// get returns the root, and makes it at first need.
func (ca *internalCA) get() (*rootCA, error) {
	if root := ca.root.Load(); root != nil {
		return root, nil
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if root := ca.root.Load(); root != nil {
		return root, nil
	}
	if ca.err != nil && time.Since(ca.failedAt) < failurePause {
		return nil, ca.err
	}
	root, err := ca.open()
	if err != nil {
		ca.err, ca.failedAt = fmt.Errorf("the internal CA has no root: %w", err), time.Now()
		ca.log.Error("The internal CA cannot work.", "error", ca.err)
		return nil, ca.err
	}
	ca.root.Store(root)
	ca.logTrust()
	return root, nil
}

// open reads the root from its files, or makes them. A key that is there is
// never replaced: devices trust it.
func (ca *internalCA) open() (*rootCA, error) {
	keyPEM, err := os.ReadFile(ca.keyFile())
	if errors.Is(err, fs.ErrNotExist) {
		keyPEM, err = ca.createKey()
	}
	if err != nil {
		return nil, err
	}
	key, err := certmagic.PEMDecodePrivateKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s is not a private key (%w): restore it from a backup, or delete it and %s to start a new CA",
			ca.keyFile(), err, ca.certFile())
	}
	certPEM, err := os.ReadFile(ca.certFile())
	if errors.Is(err, fs.ErrNotExist) {
		certPEM, err = ca.createCert(key)
	}
	if err != nil {
		return nil, err
	}
	root, err := parseRoot(certPEM, key)
	if err != nil {
		return nil, fmt.Errorf("%s %w: restore it from a backup, or delete it and %s to start a new CA",
			ca.certFile(), err, ca.keyFile())
	}
	return root, nil
}

func (ca *internalCA) createKey() ([]byte, error) {
	if _, err := os.Stat(ca.certFile()); err == nil {
		if keyPEM, err := os.ReadFile(ca.keyFile()); err == nil { // another process was faster
			return keyPEM, nil
		}
		return nil, fmt.Errorf("%s is there, but its key %s is not: restore the key from a backup, or delete the certificate to start a new CA",
			ca.certFile(), ca.keyFile())
	}
	if err := os.MkdirAll(ca.folder, 0o700); err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	keyPEM, err := certmagic.PEMEncodePrivateKey(key)
	if err != nil {
		return nil, err
	}
	err = atomicfile.Create(ca.keyFile(), keyPEM, 0o600)
	if errors.Is(err, fs.ErrExist) { // again
		return os.ReadFile(ca.keyFile())
	}
	return keyPEM, err
}

func (ca *internalCA) createCert(key crypto.Signer) ([]byte, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(public)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		// The suffix tells roots of several installations apart in a device's list.
		Subject:               pkix.Name{Organization: []string{"Portway"}, CommonName: "Portway internal CA " + hex.EncodeToString(id[:3])},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(rootLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId:          id[:20],
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certPEM, atomicfile.Write(ca.certFile(), certPEM, 0o644)
}

func parseRoot(certPEM []byte, key crypto.Signer) (*rootCA, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, errors.New("is not a PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("is not a certificate (%w)", err)
	}
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(cert.PublicKey) {
		return nil, errors.New("does not belong to its key")
	}
	if !cert.IsCA {
		return nil, errors.New("is not a CA's certificate")
	}
	if time.Now().After(cert.NotAfter) {
		return nil, fmt.Errorf("expired on %s", cert.NotAfter.Format(time.DateOnly))
	}
	return &rootCA{cert: cert, key: key, pem: pem.EncodeToMemory(block)}, nil
}

// logTrust tells once per start how to trust the root.
func (ca *internalCA) logTrust() {
	ca.log.Info("The internal CA is in use; browsers warn until they trust its root.",
		"root", ca.certFile(),
		"curl", "curl --cacert "+ca.certFile()+" https://...",
		"debian", "sudo cp root.crt /usr/local/share/ca-certificates/portway.crt && sudo update-ca-certificates",
		"macos", "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain root.crt",
		"windows", "certutil -addstore -f ROOT root.crt",
		"firefox", "Settings, Privacy & Security, View Certificates, Authorities, Import",
	)
}

// leaf holds the internal CA's current certificate for one set of names. The
// zero value is empty.
type leaf struct {
	mu   sync.Mutex // held while a certificate is made
	cert atomic.Pointer[tls.Certificate]
}

// certify returns the certificate in l, and makes one for names (host names,
// wildcards, IP addresses) if there is none or it is time for another.
func (ca *internalCA) certify(l *leaf, names ...string) (*tls.Certificate, error) {
	if cert := l.cert.Load(); cert != nil && time.Now().Before(renewalTime(cert.Leaf)) {
		return cert, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if cert := l.cert.Load(); cert != nil && time.Now().Before(renewalTime(cert.Leaf)) {
		return cert, nil
	}
	root, err := ca.get()
	if err != nil {
		return nil, err
	}
	cert, err := root.issue(names)
	if err != nil {
		return nil, fmt.Errorf("internal CA: %w", err)
	}
	l.cert.Store(cert)
	return cert, nil
}

func (r *rootCA) issue(names []string) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		NotBefore:    now.Add(-backdated),
		NotAfter:     now.Add(leafLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.NotAfter.After(r.cert.NotAfter) {
		template.NotAfter = r.cert.NotAfter
	}
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	if len(names[0]) <= 64 { // the limit of RFC 5280; clients look at the names above only
		template.Subject.CommonName = names[0]
	}
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, key.Public(), r.key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}, nil
}

// renewalTime is when a third of a certificate's lifetime is left.
func renewalTime(cert *x509.Certificate) time.Time {
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / 3)
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
