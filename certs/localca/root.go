package localca

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"

	"portway/internal/atomicfile"
)

// authority is a root, its successors, and the intermediate that signs for them now.
type authority struct {
	folder, base string // files are folder/base.crt and so on
	bounded      bool   // a new root gets name constraints
	log          *slog.Logger

	current atomic.Pointer[signer]

	mu       sync.Mutex // held while roots and intermediates are made or read
	root     *root
	err      error     // why there is none
	failedAt time.Time // when err was found
}

// root is one generation.
type root struct {
	generation int
	cert       *x509.Certificate
	key        crypto.Signer
	cross      *x509.Certificate // the same key, certified by the generation before; nil: none, or over
}

// failurePause is how long a failure stands, so that handshakes neither hammer
// the disk nor fill the log.
const failurePause = 10 * time.Second

// file names a file of a generation; the first has no number.
func (a *authority) file(generation int, ending string) string {
	name := a.base
	if generation > 1 {
		name += "-" + strconv.Itoa(generation)
	}
	return filepath.Join(a.folder, name+ending)
}

func (a *authority) certFile(generation int) string { return a.file(generation, ".crt") }
func (a *authority) keyFile(generation int) string  { return a.file(generation, ".key") }

// exists tells whether there is a root already.
func (a *authority) exists() bool {
	_, err := os.Stat(a.certFile(1))
	return err == nil
}

// signer returns what signs now. The root is made at first need.
func (a *authority) signer() (*signer, error) {
	if s := a.current.Load(); s.usable() {
		return s, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.current.Load(); s.usable() {
		return s, nil
	}
	if a.err != nil && time.Since(a.failedAt) < failurePause {
		return nil, a.err
	}
	s, err := a.renew()
	if err != nil {
		a.err, a.failedAt = fmt.Errorf("the internal CA has no root: %w", err), time.Now()
		a.log.Error("The internal CA cannot work.", "error", a.err)
		return nil, a.err
	}
	a.err = nil
	a.current.Store(s)
	return s, nil
}

func (s *signer) usable() bool {
	if s == nil {
		return false
	}
	if s.cert == s.root.cert {
		return time.Now().Before(s.cert.NotAfter)
	}
	return time.Now().Before(RenewalTime(s.cert))
}

// renew makes an intermediate, and before that whatever root it needs.
func (a *authority) renew() (*signer, error) {
	if a.root == nil {
		root, err := a.open(a.latest())
		if err != nil {
			return nil, err
		}
		a.root = root
		a.logTrust()
	}
	if a.root.cert.MaxPathLenZero { // somebody's own CA that may have none below it
		return &signer{cert: a.root.cert, key: a.root.key, root: a.root}, nil
	}
	if ends := a.root.cert.NotAfter; time.Until(ends) < overlap {
		next, err := a.succeed(a.root)
		if err != nil {
			a.log.Error("The internal CA's root needs a successor, which could not be made.", "root_ends", ends, "error", err)
		} else {
			a.root = next
		}
	}
	return a.root.intermediate()
}

// latest is the newest generation; the certificate is what is written last.
func (a *authority) latest() int {
	generation := 1
	for {
		if _, err := os.Stat(a.certFile(generation + 1)); err != nil {
			return generation
		}
		generation++
	}
}

// open reads a root from its files, or makes them. A key that is there is never
// replaced: devices trust it.
func (a *authority) open(generation int) (*root, error) {
	certFile, keyFile := a.certFile(generation), a.keyFile(generation)
	key, err := a.key(generation)
	if err != nil {
		return nil, err
	}
	certPEM, err := os.ReadFile(certFile)
	if errors.Is(err, fs.ErrNotExist) {
		certPEM, err = a.createCert(generation, key)
	}
	if err != nil {
		return nil, err
	}
	cert, err := parse(certPEM, key)
	if err != nil {
		return nil, fmt.Errorf("%s %w: restore it from a backup, or delete it and %s to start a new CA", certFile, err, keyFile)
	}
	r := &root{generation: generation, cert: cert, key: key}
	if crossPEM, err := os.ReadFile(a.file(generation, ".cross.crt")); err == nil {
		r.cross, _ = parse(crossPEM, key) // without it, or when it is over, devices need to trust the new root
	}
	return r, nil
}

// succeed makes the next generation, certified by old as well.
func (a *authority) succeed(old *root) (*root, error) {
	next := old.generation + 1
	key, err := a.key(next)
	if err != nil {
		return nil, err
	}
	template, err := rootTemplate(key)
	if err != nil {
		return nil, err
	}
	boundLike(template, old.cert)
	template.NotAfter = old.cert.NotAfter
	template.AuthorityKeyId = old.cert.SubjectKeyId
	der, err := x509.CreateCertificate(rand.Reader, template, old.cert, key.Public(), old.key)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(a.file(next, ".cross.crt"), encode(der), 0o644); err != nil {
		return nil, err
	}
	r, err := a.open(next)
	if err == nil {
		a.log.Warn("The internal CA has a new root. Devices that trust the old one accept certificates until it ends: trust the new one on them before.",
			"root", a.certFile(next), "old_root", a.certFile(old.generation), "old_root_ends", old.cert.NotAfter)
	}
	return r, err
}

// key reads the key of a generation, or makes it.
func (a *authority) key(generation int) (crypto.Signer, error) {
	keyFile := a.keyFile(generation)
	keyPEM, err := os.ReadFile(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		keyPEM, err = a.createKey(generation)
	}
	if err != nil {
		return nil, err
	}
	key, err := certmagic.PEMDecodePrivateKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s is not a private key (%w): restore it from a backup, or delete it and %s to start a new CA",
			keyFile, err, a.certFile(generation))
	}
	return key, nil
}

func (a *authority) createKey(generation int) ([]byte, error) {
	certFile, keyFile := a.certFile(generation), a.keyFile(generation)
	if _, err := os.Stat(certFile); err == nil {
		if keyPEM, err := os.ReadFile(keyFile); err == nil { // another process was faster
			return keyPEM, nil
		}
		return nil, fmt.Errorf("%s is there, but its key %s is not: restore the key from a backup, or delete the certificate to start a new CA",
			certFile, keyFile)
	}
	if err := os.MkdirAll(a.folder, 0o700); err != nil {
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
	err = atomicfile.Create(keyFile, keyPEM, 0o600)
	if errors.Is(err, fs.ErrExist) { // again
		return os.ReadFile(keyFile)
	}
	return keyPEM, err
}

func (a *authority) createCert(generation int, key crypto.Signer) ([]byte, error) {
	template, err := rootTemplate(key)
	if err != nil {
		return nil, err
	}
	if a.bounded {
		bound(template)
	}
	if generation > 1 && a.root != nil { // as those who trust the old one know it
		boundLike(template, a.root.cert)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return encode(der), atomicfile.Write(a.certFile(generation), encode(der), 0o644)
}

func rootTemplate(key crypto.Signer) (*x509.Certificate, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(public)
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: newSerial(),
		// The suffix tells roots of several installations apart in a device's list.
		Subject:               pkix.Name{Organization: []string{"Portway"}, CommonName: "Portway internal CA " + hex.EncodeToString(id[:3])},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(rootLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId:          id[:20],
	}, nil
}

// intermediate makes what signs certificates for a while.
func (r *root) intermediate() (*signer, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := rootTemplate(key)
	if err != nil {
		return nil, err
	}
	template.Subject.CommonName = "Portway internal CA, intermediate of " + template.NotBefore.Format(time.DateOnly)
	template.NotAfter = earlier(time.Now().Add(intermediateLifetime), r.cert.NotAfter)
	template.MaxPathLenZero = true
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	boundLike(template, r.cert)
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, key.Public(), r.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &signer{cert: cert, key: key, root: r}, nil
}

// parse reads a root's certificate and holds it against its key.
func parse(certPEM []byte, key crypto.Signer) (*x509.Certificate, error) {
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
	return cert, nil
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// logTrust tells once per start how to trust the root.
func (a *authority) logTrust() {
	file := a.certFile(a.root.generation)
	what := "The internal CA is in use; browsers warn until they trust its root."
	if a.base == "root-any" {
		what = "Some names are neither below a private suffix nor private addresses, such as single words. Their certificates come from a second root, without name constraints; browsers warn until they trust it."
	}
	a.log.Info(what,
		"root", file,
		"here", "sudo portway trust --install",
		"curl", "curl --cacert "+file+" https://...",
		"debian", "sudo cp root.crt /usr/local/share/ca-certificates/portway.crt && sudo update-ca-certificates",
		"macos", "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain root.crt",
		"windows", "certutil -addstore -f ROOT root.crt",
		"firefox", "Settings, Privacy & Security, View Certificates, Authorities, Import",
	)
}
