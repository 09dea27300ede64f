package certs

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func newInternal(t *testing.T, names ...string) *Manager {
	t.Helper()
	log, _ := newLogs(t)
	m, err := New(Config{Storage: t.TempDir(), Internal: true, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run(t, m))
	m.SetNames(plain(names...))
	return m
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	m := newInternal(t, "whoami.localhost", "*.localhost", "*.dev.lan", "app.example.com", "127.0.0.1")
	roots := internalRoots(t, m)
	for _, name := range []string{"whoami.localhost", "any.localhost", "WhoAmI.localhost", "a.dev.lan", "app.example.com"} {
		if _, err := speak(t, m, &tls.Config{ServerName: name, RootCAs: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Clients such as curl refuse *.localhost, so each host has its own.
	if cert, err := handshake(t, m, "any.localhost"); err != nil || strings.Contains(strings.Join(cert.DNSNames, " "), "*") {
		t.Errorf("below a wildcard that clients refuse: %v, %v", cert.DNSNames, err)
	}
	if cert, err := handshake(t, m, ""); err != nil || cert.VerifyHostname("127.0.0.1") != nil {
		t.Errorf("by address: %v", err)
	}
	for _, name := range []string{"unknown.com", "a.b.dev.lan", "dev.lan"} {
		_, err := handshake(t, m, name)
		if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s is not ours: got %v, want the alert unrecognized name", name, err)
		}
	}
}

// Behind a port mapping the address that the client used is not our own.
func TestHandshakeByMappedAddress(t *testing.T) {
	t.Parallel()
	m := newInternal(t, "192.168.1.10", "203.0.113.7", "a.lan")
	cert, err := handshake(t, m, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"192.168.1.10", "203.0.113.7"} {
		if err := cert.VerifyHostname(ip); err != nil {
			t.Error(err)
		}
	}
	m.SetNames(plain("a.lan"))
	if _, err := handshake(t, m, ""); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("no address is ours: got %v, want the alert unrecognized name", err)
	}
}

// Clients decide what is below a wildcard; memory must not.
func TestHostsBelowAWildcardAreBounded(t *testing.T) {
	t.Parallel()
	e := newEntry("*.localhost", internal, Wishes{}, "", "")
	for i := range 3 * maxHosts {
		e.hostLeaf(strings.Repeat("a", i%50) + strings.Repeat("b", i/50) + ".localhost")
		if len(e.hosts) > maxHosts {
			t.Fatalf("%d hosts are kept, want at most %d", len(e.hosts), maxHosts)
		}
	}
}

func TestStatusAndAll(t *testing.T) {
	t.Parallel()
	log, l := newLogs(t)
	m, err := newManager(Config{Storage: t.TempDir(), Directory: "https://ca.example/dir", Logger: log}, defaultTiming(), newFakeCA(t, time.Hour).issuer)
	if err != nil {
		t.Fatal(err)
	}
	defer run(t, m)()
	m.SetNames(plain("b.localhost", "*.Example.com", "a.com.", "a.com", ""))
	await(t, "both certificates", func() bool {
		return m.Status("a.com").State == Valid && m.Status("b.localhost").State == Valid
	})
	if s := m.Status("A.com"); s.Issuer != "ca.example" || s.NotAfter.IsZero() || s.LastError != "" || !s.NextTry.IsZero() {
		t.Errorf("a.com: %+v", s)
	}
	if s := m.Status("b.localhost"); s.Issuer != "internal" || time.Until(s.NotAfter) < 6*24*time.Hour {
		t.Errorf("b.localhost: %+v", s)
	}
	if s := m.Status("x.example.com"); s.Name != "*.example.com" || s.State != Failed || !strings.Contains(s.LastError, "DNS-01") || !s.NextTry.IsZero() {
		t.Errorf("below the wildcard: %+v", s)
	}
	if s := m.Status("other.com"); s.State != Unknown {
		t.Errorf("not ours: %+v", s)
	}
	var names []string
	for _, s := range m.All() {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "*.example.com a.com b.localhost" {
		t.Errorf("All: %s", got)
	}
	if found := l.lines("level=WARN", "*.example.com", "DNS-01"); len(found) != 1 {
		t.Errorf("%d warnings about the wildcard, want 1", len(found))
	}
	cert, err := handshake(t, m, "x.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if cert.VerifyHostname("x.example.com") != nil || cert.Issuer.Organization[0] != "Portway" {
		t.Errorf("the temporary certificate: %v by %v", cert.DNSNames, cert.Issuer)
	}
}

func TestHTTPChallengeLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	log, _ := newLogs(t)
	m, err := New(Config{Storage: t.TempDir(), Directory: "https://ca.example/dir", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run(t, m))
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, h := range []http.Handler{m.HTTPChallenge(next), newInternal(t).HTTPChallenge(next)} {
		for _, url := range []string{"http://a.com/", "http://a.com/.well-known/acme-challenge/unknown", "http://[::1]:80/.well-known/acme-challenge/x"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
			if w.Code != http.StatusTeapot {
				t.Errorf("%s: got %d", url, w.Code)
			}
		}
	}
}

func TestNewRefusesABadConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/empty.pem", "no certificate")
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Directory: "letsencrypt"}, `the ACME directory "letsencrypt" is no URL like https://`},
		{Config{Directory: "ftp://ca.example/dir"}, "is no URL"},
		{Config{Directory: "https://bad host/"}, "is no URL"},
		{Config{Directory: "http://ca.example/dir"}, "use https"},
		{Config{Roots: dir + "/none.pem"}, dir + "/none.pem"},
		{Config{Roots: dir + "/empty.pem"}, "no PEM certificate in " + dir + "/empty.pem"},
		{Config{HTTPPort: -1, TLSPort: -1}, "open one of them"},
		{Config{Email: "admin"}, `"admin" for the CA is no e-mail address`},
	} {
		c.cfg.Storage, c.cfg.Logger = t.TempDir(), slog.New(slog.DiscardHandler)
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.cfg, err, c.want)
		}
	}
}

// A look-up in a handshake costs little beside the handshake itself.
func BenchmarkGetCertificate(b *testing.B) {
	m, err := New(Config{Storage: b.TempDir(), Internal: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	m.SetNames(plain("a.localhost"))
	hello := &tls.ClientHelloInfo{ServerName: "a.localhost"}
	b.ReportAllocs()
	for b.Loop() {
		if cert, err := m.GetCertificate(hello); cert == nil || err != nil {
			b.Fatal(err)
		}
	}
}
