package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// logs is where a test's log goes.
type logs struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.String()
}

// lines returns the lines that contain all of words.
func (l *logs) lines(words ...string) []string {
	var found []string
next:
	for line := range strings.Lines(l.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// newLogs returns a log with details, which is shown if the test fails.
func newLogs(t *testing.T) (*slog.Logger, *logs) {
	l := new(logs)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", l)
		}
	})
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})), l
}

// run runs m until stop is called, which waits for the end.
func run(t *testing.T, m *Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// await returns when ok does. How long it waits at most only matters for a test that
// fails, and no machine is so slow.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// handshake speaks TLS with m over loopback and returns what m presented.
// name may be empty, as it is for clients that connect to an address.
func handshake(t *testing.T, m *Manager, name string) (*x509.Certificate, error) {
	t.Helper()
	return speak(t, m, &tls.Config{ServerName: name, InsecureSkipVerify: true})
}

// speak is handshake as cfg says.
func speak(t *testing.T, m *Manager, cfg *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		server := tls.Server(conn, &tls.Config{GetCertificate: m.GetCertificate})
		_ = server.Handshake()
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := tls.Client(raw, cfg)
	defer func() { _ = client.Close() }()
	if err := client.Handshake(); err != nil {
		return nil, err
	}
	return client.ConnectionState().PeerCertificates[0], nil
}

// plain are names of hosts, without wishes.
func plain(hosts ...string) []Name {
	all := make([]Name, len(hosts))
	for i, host := range hosts {
		all[i].Name = host
	}
	return all
}

// internalRoots returns a pool with m's internal root.
func internalRoots(t *testing.T, m *Manager) *x509.CertPool {
	t.Helper()
	root, err := m.Root()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root.Cert)
	if other, ok, _ := m.OtherRoot(); ok {
		pool.AddCert(other.Cert)
	}
	return pool
}

// fakeCA is an issuer that certmagic calls instead of speaking ACME.
type fakeCA struct {
	key      string
	lifetime time.Duration
	padding  int    // how much longer certificate files are than they need to be
	ocsp     string // URL of the responder that certificates name
	root     *x509.Certificate
	signs    *ecdsa.PrivateKey

	mu     sync.Mutex
	answer func(ctx context.Context, name string) error // what an order ends with; nil: a certificate
	orders map[string][]time.Time
}

var _ certmagic.Issuer = (*fakeCA)(nil)

func newFakeCA(t *testing.T, lifetime time.Duration) *fakeCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fake CA"}, NotBefore: time.Now(),
		NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeCA{key: "fake", lifetime: lifetime, root: root, signs: key, orders: make(map[string][]time.Time)}
}

func (f *fakeCA) issuer(string, *zap.Logger) certmagic.Issuer { return f }

func (f *fakeCA) IssuerKey() string { return f.key }

func (f *fakeCA) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	name := csr.DNSNames[0]
	f.mu.Lock()
	f.orders[name] = append(f.orders[name], time.Now())
	answer, padding := f.answer, f.padding
	f.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, name); err != nil {
			return nil, err
		}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(mathrand.Int64()),
		NotBefore:    time.Now(),
		NotAfter:     time.Now().Add(f.lifetime),
		DNSNames:     csr.DNSNames,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if f.ocsp != "" {
		template.OCSPServer = []string{f.ocsp}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, f.root, csr.PublicKey, f.signs)
	if err != nil {
		return nil, err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if f.ocsp != "" {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.root.Raw})...)
	}
	return &certmagic.IssuedCertificate{Certificate: append(chain, bytes.Repeat([]byte("\n"), padding)...)}, nil
}

// refuse makes orders end with what answer returns from now on.
func (f *fakeCA) refuse(answer func(ctx context.Context, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fakeCA) tries(name string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.orders[name]
}

var errFake = errors.New("the fake CA says no")

func write(t *testing.T, file, data string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// only returns the CA that m uses.
func (m *Manager) only(t *testing.T) *authority {
	t.Helper()
	if len(m.use) != 1 {
		t.Fatalf("CAs in use: %v", m.use)
	}
	return m.authorities[m.use[0]]
}
