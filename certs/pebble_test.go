package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"portway/certs/preflight"
	"portway/internal/pebbletest"
)

// front is what Pebble's challenges reach: a server for plain HTTP and one for
// TLS on loopback, which belong to the Manager that runs just now.
type front struct {
	httpPort, tlsPort int
	deadPort          int // where connections are closed at once

	manager  atomic.Pointer[Manager]
	aside    atomic.Pointer[preflight.Checker] // answers at both ports, if it is set
	answered atomic.Int32                      // HTTP-01 requests that were answered
	spoken   atomic.Int32                      // TLS-ALPN-01 handshakes
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := new(front)
	none := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := f.aside.Load(); c != nil && r.URL.Path == preflight.Path {
			c.Handler().ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	serve := func(handler http.Handler, conf *tls.Config) int {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if conf != nil {
			l = tls.NewListener(l, conf)
		}
		s := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
		return port
	}
	f.httpPort = serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		missed := false
		f.manager.Load().HTTPChallenge(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			missed = true
			none.ServeHTTP(w, r)
		})).ServeHTTP(w, r)
		if !missed {
			f.answered.Add(1)
		}
	}), nil)
	f.tlsPort = serve(none, &tls.Config{
		NextProtos: []string{"http/1.1", "acme-tls/1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if slices.Contains(hello.SupportedProtos, "acme-tls/1") {
				f.spoken.Add(1)
			}
			return f.manager.Load().GetCertificate(hello)
		},
	})
	f.deadPort = serve(none, &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("nobody is here") },
	})
	return f
}

// quick is timing for tests in real time.
func quick() timing {
	return timing{
		backoff: backoff{base: 300 * time.Millisecond, limit: time.Second},
		check:   100 * time.Millisecond,
		try:     time.Minute,
		fresh:   24,
		again:   8,
	}
}

// obtain starts a Manager that takes its certificates from p. Names must be the
// test's own: certmagic knows challenges by name, for all of the process.
func obtain(t *testing.T, p *pebbletest.Pebble, f *front, folder string, speed timing) (m *Manager, stop func(), l *logs) {
	t.Helper()
	log, l := newLogs(t)
	m, err := newManager(Config{
		Storage: folder, Directory: p.Directory, Roots: p.RootsFile,
		HTTPPort: f.httpPort, TLSPort: f.tlsPort, Logger: log,
	}, speed, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.manager.Store(m)
	stop = run(t, m)
	t.Cleanup(stop)
	return m, stop, l
}

// served returns the certificate for name if it verifies by roots.
func served(t *testing.T, m *Manager, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	t.Helper()
	cert, err := handshake(t, m, name)
	if err != nil {
		return nil, err
	}
	// Pebble's chain has one intermediate, which GetCertificate gives along.
	full, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
	if err != nil {
		return nil, err
	}
	between := x509.NewCertPool()
	for _, der := range full.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err = cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between})
	return cert, err
}

func valid(m *Manager, name string) func() bool {
	return func() bool { return m.Status(name).State == Valid }
}

func failed(m *Manager, name string) func() bool {
	return func() bool { return m.Status(name).State == Failed }
}

// Either challenge suffices, whichever port is blocked on the way.
func TestEitherChallenge(t *testing.T) {
	t.Parallel()
	for i, c := range []struct {
		name string
		opts func(f *front) pebbletest.Options
		used func(f *front) int32
	}{
		{"HTTP-01", func(f *front) pebbletest.Options {
			return pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.deadPort}
		}, func(f *front) int32 { return f.answered.Load() }},
		{"TLS-ALPN-01", func(f *front) pebbletest.Options {
			return pebbletest.Options{HTTPPort: f.deadPort, TLSPort: f.tlsPort}
		}, func(f *front) int32 { return f.spoken.Load() }},
		{"without a port for HTTP", func(f *front) pebbletest.Options {
			f.httpPort = -1
			return pebbletest.Options{HTTPPort: f.deadPort, TLSPort: f.tlsPort}
		}, func(f *front) int32 { return f.spoken.Load() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("app%d.either.example.com", i)
			f := newFront(t)
			p := pebbletest.Start(t, c.opts(f))
			folder := t.TempDir()
			m, stop, l := obtain(t, p, f, folder, quick())
			m.SetNames(plain(name))
			if cert, err := handshake(t, m, name); err != nil || cert.Issuer.Organization[0] != "Portway" {
				t.Errorf("before it is there: %v, want a temporary certificate", err)
			}
			await(t, "a certificate", valid(m, name))
			if _, err := served(t, m, name, p.Roots()); err != nil {
				t.Error(err)
			}
			if c.used(f) == 0 {
				t.Error("the challenge was not used")
			}
			if f.httpPort < 0 && p.Orders() != 1 {
				t.Errorf("%d orders, want 1: the other challenge cannot succeed", p.Orders())
			}
			if len(l.lines("level=INFO", "Obtained", "name="+name, "issuer=127.0.0.1", "expires=", "took=")) != 1 {
				t.Error("the log does not say so")
			}
			if n := len(l.lines("level=ERROR")) + len(l.lines("level=WARN")); n != 0 {
				t.Errorf("%d warnings and errors, though all went well", n)
			}
			stop()
			again, _, _ := obtain(t, p, f, folder, quick())
			again.SetNames(plain(name))
			await(t, "the stored one", valid(again, name))
			want := acme.ChallengeTypeTLSALPN01
			if i == 0 {
				want = acme.ChallengeTypeHTTP01
			}
			for _, m := range []*Manager{m, again} {
				if got := m.Status(name).Challenge; got != want {
					t.Errorf("challenge: got %q, want %q", got, want)
				}
			}
		})
	}
}

func TestRestartMakesNoSecondOrder(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort})
	folder := t.TempDir()
	m, stop, _ := obtain(t, p, f, folder, quick())
	m.SetNames(plain("a.restart.example.com", "b.restart.example.com"))
	await(t, "certificates", func() bool { return valid(m, "a.restart.example.com")() && valid(m, "b.restart.example.com")() })
	first, err := served(t, m, "a.restart.example.com", p.Roots())
	if err != nil {
		t.Fatal(err)
	}
	orders := p.Orders()
	for range 5 {
		stop()
		m, stop, _ = obtain(t, p, f, folder, quick())
		m.SetNames(plain("a.restart.example.com", "b.restart.example.com"))
		// At once: not even a first visitor sees the temporary one.
		again, err := served(t, m, "a.restart.example.com", p.Roots())
		if err != nil || !again.Equal(first) {
			t.Fatalf("after a restart: another certificate, %v", err)
		}
		await(t, "the status", valid(m, "b.restart.example.com"))
	}
	if n := p.Orders(); n != orders {
		t.Errorf("5 restarts made %d more orders", n-orders)
	}
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort, Validity: 9 * time.Second})
	roots := p.Roots()
	m, _, l := obtain(t, p, f, t.TempDir(), quick())
	m.SetNames(plain("a.renewal.example.com"))
	await(t, "a certificate", valid(m, "a.renewal.example.com"))
	seen := make(map[string]bool)
	await(t, "a renewal", func() bool {
		cert, err := served(t, m, "a.renewal.example.com", roots)
		if err != nil {
			t.Fatal(err) // at no moment is there none that is good
		}
		seen[cert.SerialNumber.String()] = true
		return len(seen) == 2
	})
	if !strings.Contains(p.Log(), "is a replacement of") {
		t.Error("the CA was not told which certificate the new one replaces (RFC 9773 section 5)")
	}
	if n := len(l.lines("level=INFO", "Renewed", "name=a.renewal.example.com")); n < 1 {
		t.Error("the log does not tell of the renewal")
	}
}

func TestManyNamesDoNotDelayHandshakes(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort})
	m, stop, _ := obtain(t, p, f, t.TempDir(), quick())
	m.SetNames(plain("old.many.example.com"))
	await(t, "a certificate", valid(m, "old.many.example.com"))

	names := []string{"old.many.example.com", "new.localhost"}
	for i := range 50 {
		names = append(names, "n"+string(rune('a'+i%25))+string(rune('a'+i/25))+".many.example.com")
	}
	start := time.Now()
	m.SetNames(plain(names...))
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("SetNames took %v", took)
	}
	var slowest time.Duration
	done := 0
	await(t, "the first of 50 new certificates", func() bool {
		start := time.Now()
		if cert, err := handshake(t, m, "old.many.example.com"); err != nil || cert.Issuer.Organization != nil {
			t.Fatalf("the old name's certificate: %v", err)
		}
		slowest = max(slowest, time.Since(start))
		done = 0
		for _, s := range m.All() {
			if s.State == Valid {
				done++
			}
		}
		return done >= 8
	})
	if slowest > 10*time.Second {
		t.Errorf("a handshake took %v", slowest)
	}
	if s := m.Status("new.localhost"); s.State != Valid {
		t.Errorf("the internal name: %+v", s)
	}
	took := time.Since(start)
	start = time.Now()
	stop()
	if ended := time.Since(start); ended > 20*time.Second {
		t.Errorf("it took %v to stop in the middle of orders", ended)
	}
	t.Logf("slowest handshake of the old name while 50 others are obtained: %v; %d done after %v", slowest, done, took)
}

// A DNS provider that fails is no obstacle where a port is open: the CA was not told of
// the challenge. By wish there is no other way, and people are told.
func TestDNSProviderFails(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort})
	log, _ := newLogs(t)
	m, err := newManager(Config{
		Storage: t.TempDir(), Directory: p.Directory, Roots: p.RootsFile,
		HTTPPort: f.httpPort, TLSPort: f.tlsPort, DNS: noSolver{}, Logger: log,
	}, quick(), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.manager.Store(m)
	defer run(t, m)()
	// certmagic has one memory of challenges for all tests here: names of our own.
	m.SetNames([]Name{{Name: "port.example.com"}, {Name: "wish.example.com", Wishes: Wishes{Challenge: "dns-01"}}, {Name: "*.wild.example.com"}})
	await(t, "a certificate by another challenge", valid(m, "port.example.com"))
	await(t, "the failure", failed(m, "wish.example.com"))
	await(t, "the failure of the wildcard", failed(m, "*.wild.example.com"))
	for _, name := range []string{"wish.example.com", "*.wild.example.com"} {
		if s := m.Status(name); s.LastError != "The DNS provider is on holiday." || s.NextTry.IsZero() {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
