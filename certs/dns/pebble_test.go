package dns_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"testing"
	"time"

	"portway/certs"
	"portway/certs/dns"
	"portway/internal/dnstest"
	"portway/internal/pebbletest"
)

// A real CA certifies wildcards and hosts by what a real DNS server says; nothing
// listens at any port.
func TestCertificatesByDNS(t *testing.T) {
	s := dnstest.Start(t, map[string]string{
		"example.com": "_acme-challenge.elsewhere CNAME 5f0c.auth.example.net.",
		"example.net": "",
	})
	for name, value := range s.Env() {
		t.Setenv(name, value)
	}
	log := slog.New(slog.DiscardHandler)
	solver, err := dns.New(dns.Config{Providers: []string{"example.com=rfc2136"}, Resolvers: []string{s.Addr}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	p := pebbletest.Start(t, pebbletest.Options{DNS: s.Addr, HTTPPort: 1, TLSPort: 1})
	m, err := certs.New(certs.Config{
		Storage: t.TempDir(), Directory: p.Directory, Roots: p.RootsFile,
		HTTPPort: -1, TLSPort: -1, DNS: solver, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	m.SetNames([]certs.Name{
		// The first three have the same record.
		{Name: "*.example.com"},
		{Name: "example.com"},
		{Name: "a.example.com"},
		{Name: "b.example.com", Wishes: certs.Wishes{Wildcard: "never"}},
		{Name: "elsewhere.example.com", Wishes: certs.Wishes{Wildcard: "never"}},
		{Name: "example.org"},
	})
	roots := p.Roots()
	for host, want := range map[string]string{
		"a.example.com": "*.example.com", "x.example.com": "*.example.com", "example.com": "example.com",
		"b.example.com": "b.example.com", "elsewhere.example.com": "elsewhere.example.com",
	} {
		for deadline := time.Now().Add(3 * time.Minute); m.Status(host).State != certs.Valid; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no certificate: %+v", m.Status(host))
			}
		}
		if st := m.Status(host); st.Challenge != "dns-01" || host == "a.example.com" && st.Wildcard != want {
			t.Errorf("%s: challenge %q, wildcard %q", host, st.Challenge, st.Wildcard)
		}
		cert, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: host})
		if err != nil {
			t.Fatal(err)
		}
		between := x509.NewCertPool()
		for _, der := range cert.Certificate[1:] {
			if c, err := x509.ParseCertificate(der); err == nil {
				between.AddCert(c)
			}
		}
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if got := cert.Leaf.DNSNames[0]; got != want {
			t.Errorf("%s is served with a certificate of %s, want %s", host, got, want)
		}
	}
	if n := p.Orders(); n != 4 {
		t.Errorf("%d orders, want 4", n)
	}
	if st := m.Status("example.org"); st.State != certs.Failed || st.LastError == "" {
		t.Errorf("a name of no provider: %+v", st)
	}
	for _, record := range []string{"_acme-challenge.example.com", "_acme-challenge.b.example.com", "5f0c.auth.example.net"} {
		if left := s.TXT(record); len(left) > 0 {
			t.Errorf("%s: left behind: %q", record, left)
		}
	}
}
