package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ownFile writes a certificate for names, with its key, as a user does.
func ownFile(t *testing.T, path string, lifetime time.Duration, names ...string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: names, NotBefore: time.Now().Add(-100 * 24 * time.Hour), NotAfter: time.Now().Add(lifetime)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))+
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// The user's certificates go before those of CAs, which are not asked for them.
func TestOwnCertificates(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, time.Hour)
	wild := ownFile(t, filepath.Join(folder, "wild.pem"), 1000*time.Hour, "*.example.com", "nas.lan")
	log, _ := newLogs(t)
	m, err := newManager(Config{Storage: t.TempDir(), Directory: "https://ca.example/dir", Files: folder, Logger: log}, quick(), ca.issuer)
	if err != nil {
		t.Fatal(err)
	}
	defer run(t, m)()
	list := append(plain("a.example.com", "a.example.org", "nas.lan"), Name{Name: "b.example.com", Wishes: Wishes{Issuer: "internal"}})
	m.SetNames(list)
	await(t, "the other names", func() bool { return valid(m, "a.example.org")() })
	for _, name := range []string{"a.example.com", "nas.lan"} {
		if cert, err := handshake(t, m, name); err != nil || !cert.Equal(wild) {
			t.Errorf("%s: %v", name, err)
		}
		if s := m.Status(name); s.State != Valid || s.Issuer != "own" || !s.NotAfter.Equal(wild.NotAfter) || s.LastError != "" || s.Name != name {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if cert, err := handshake(t, m, "b.example.com"); err != nil || cert.Equal(wild) {
		t.Errorf("a route that wishes for an issuer: %v", err)
	}
	if n := len(ca.tries("a.example.com")); n > 0 {
		t.Errorf("%d orders for a name with a certificate of its own", n)
	}

	exact := ownFile(t, filepath.Join(folder, "exact.pem"), 24*time.Hour, "a.example.org")
	await(t, "a new file", func() bool { return m.Status("a.example.org").Issuer == "own" })
	if cert, err := handshake(t, m, "a.example.org"); err != nil || !cert.Equal(exact) {
		t.Errorf("a.example.org: %v", err)
	}
	for _, s := range m.All() {
		if s.Name == "a.example.org" && !strings.Contains(s.LastError, "exact.pem") {
			t.Errorf("nobody is told that it ends soon: %+v", s)
		}
	}

	remove(t, filepath.Join(folder, "wild.pem"))
	await(t, "an order in its place", func() bool { s := m.Status("a.example.com"); return s.State == Valid && s.Issuer == "ca.example" })
	await(t, "the internal CA in its place", func() bool { return m.Status("nas.lan").Issuer == "internal" })
	write(t, filepath.Join(folder, "bad.pem"), "-----BEGIN CERTIFICATE-----")
	await(t, "a problem", func() bool { return len(m.OwnProblems()) == 1 })
}

// One that has ended is served on: the visitor may decide, and no CA is asked behind
// the user's back.
func TestOwnCertificateThatHasEnded(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, time.Hour)
	old := ownFile(t, filepath.Join(folder, "old.pem"), -time.Hour, "a.example.com")
	log, _ := newLogs(t)
	m, err := newManager(Config{Storage: t.TempDir(), Directory: "https://ca.example/dir", Files: folder, Logger: log}, quick(), ca.issuer)
	if err != nil {
		t.Fatal(err)
	}
	m.SetNames(plain("a.example.com"))
	defer run(t, m)()
	if cert, err := handshake(t, m, "a.example.com"); err != nil || !cert.Equal(old) {
		t.Errorf("a.example.com: %v", err)
	}
	if s := m.Status("a.example.com"); s.State != Failed || !strings.Contains(s.LastError, "old.pem") || s.NotAfter.IsZero() {
		t.Errorf("%+v", s)
	}
}
