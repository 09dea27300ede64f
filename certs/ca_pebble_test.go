package certs

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/internal/pebbletest"
)

// with starts a Manager on cfg, which is completed.
func with(t *testing.T, f *front, cfg Config, speed timing) (m *Manager, stop func(), l *logs) {
	t.Helper()
	log, l := newLogs(t)
	if cfg.Storage == "" {
		cfg.Storage = t.TempDir()
	}
	cfg.HTTPPort, cfg.TLSPort, cfg.Logger = f.httpPort, f.tlsPort, log
	m, err := newManager(cfg, speed, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.manager.Store(m)
	stop = run(t, m)
	t.Cleanup(stop)
	return m, stop, l
}

// at is a CA called name that p is.
func at(p *pebbletest.Pebble, name string) CA {
	return CA{Name: name, Directory: p.Directory, Roots: p.RootsFile}
}

// pebble starts a CA whose challenges reach f.
func (f *front) pebble(t *testing.T, opts pebbletest.Options) *pebbletest.Pebble {
	t.Helper()
	opts.HTTPPort, opts.TLSPort = f.httpPort, f.tlsPort
	return pebbletest.Start(t, opts)
}

// While the first CA is away, the second one issues, and the first is left alone.
func TestFallback(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	first, second := f.pebble(t, pebbletest.Options{}), f.pebble(t, pebbletest.Options{Blocked: []string{"first.com"}})
	first.Down()
	speed := quick()
	speed.backoff = backoff{base: time.Hour, limit: time.Hour}
	m, _, l := with(t, f, Config{CAs: []CA{at(first, "first"), at(second, "second")}, Use: []string{"first", "second"}}, speed)
	m.SetNames(plain("a.fallback.example.com"))
	await(t, "a certificate", valid(m, "a.fallback.example.com"))
	if s := m.Status("a.fallback.example.com"); s.Issuer != "second" || s.LastError != "" {
		t.Errorf("status: %+v", s)
	}
	if _, err := served(t, m, "a.fallback.example.com", second.Roots()); err != nil {
		t.Error(err)
	}
	if len(l.lines("level=ERROR", "issuer=first", "cannot be reached")) != 1 {
		t.Error("the log does not tell of the first CA's failure")
	}

	// The others do not even ask the first one, and that there is no way to get a
	// certificate is told of both.
	first.Up()
	orders := first.Orders()
	m.SetNames(plain("a.fallback.example.com", "b.fallback.example.com", "a.first.com"))
	await(t, "another certificate", valid(m, "b.fallback.example.com"))
	await(t, "a failure", failed(m, "a.first.com"))
	if n := first.Orders() - orders; n != 0 {
		t.Errorf("%d orders at the CA that was away a moment ago", n)
	}
	if s := m.Status("a.first.com"); !strings.HasPrefix(s.LastError, "second: ") || s.NextTry.IsZero() {
		t.Errorf("status: %+v", s)
	}
	m.authorities["first"].well()
	m.SetNames(plain("c.fallback.example.com"))
	await(t, "a certificate by the first CA again", valid(m, "c.fallback.example.com"))
	if s := m.Status("c.fallback.example.com"); s.Issuer != "first" {
		t.Errorf("status: %+v", s)
	}
}

// A failure that is the name's own is no reason to make another order elsewhere,
// but a second one is.
func TestFallbackHasPatience(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	first, second := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.deadPort, TLSPort: f.deadPort}), f.pebble(t, pebbletest.Options{})
	m, _, _ := with(t, f, Config{CAs: []CA{at(first, "first"), at(second, "second")}, Use: []string{"first", "second"}}, quick())
	m.SetNames(plain("a.patience.example.com"))
	await(t, "a failure", failed(m, "a.patience.example.com"))
	if n := second.Orders(); n != 0 {
		t.Errorf("%d orders at the second CA after the first failure", n)
	}
	await(t, "a certificate", valid(m, "a.patience.example.com"))
	if s := m.Status("a.patience.example.com"); s.Issuer != "second" {
		t.Errorf("status: %+v", s)
	}
}

func TestExternalAccountBinding(t *testing.T) {
	t.Parallel()
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	f := newFront(t)
	p := f.pebble(t, pebbletest.Options{EAB: map[string]string{"kid-1": key}})
	bound, unbound, wrong := at(p, "bound"), at(p, "unbound"), at(p, "wrong")
	bound.EABKeyID, bound.EABKey = "kid-1", key+"=="
	wrong.EABKeyID, wrong.EABKey = "kid-2", key
	speed := quick()
	speed.backoff = backoff{base: time.Hour, limit: time.Hour}
	// An account belongs to a directory, so that these three would share it.
	for _, c := range []struct {
		ca   CA
		want string
	}{{unbound, "EAB"}, {wrong, "check the key id"}} {
		m, stop, _ := with(t, f, Config{CAs: []CA{c.ca}, Use: []string{c.ca.Name}}, speed)
		m.SetNames(plain("a.eab.example.com"))
		await(t, "a failure", failed(m, "a.eab.example.com"))
		if s := m.Status("a.eab.example.com"); !strings.Contains(s.LastError, c.want) {
			t.Errorf("%s: status: %+v", c.ca.Name, s)
		}
		stop()
	}
	m, _, _ := with(t, f, Config{CAs: []CA{bound}, Use: []string{"bound"}}, speed)
	m.SetNames(plain("a.eab.example.com"))
	await(t, "a certificate", valid(m, "a.eab.example.com"))
}

// What a route wishes is what it gets, and another wish gets another certificate,
// while the old one is served.
func TestWishes(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	first := f.pebble(t, pebbletest.Options{Profiles: map[string]time.Duration{"shortlived": 6 * 24 * time.Hour}})
	second := f.pebble(t, pebbletest.Options{})
	m, _, _ := with(t, f, Config{CAs: []CA{at(first, "first"), at(second, "second")}, Use: []string{"first"}}, quick())
	get := func(w Wishes, what string, ok func(Status) bool) {
		t.Helper()
		m.SetNames([]Name{{"a.wishes.example.com", w}})
		await(t, what, func() bool {
			if cert, err := handshake(t, m, "a.wishes.example.com"); what != "the first" && (err != nil || len(cert.Issuer.Organization) > 0) {
				t.Fatalf("%s: no good certificate is served meanwhile: %v", what, err)
			}
			s := m.Status("a.wishes.example.com")
			return s.State == Valid && ok(s)
		})
	}
	get(Wishes{}, "the first", func(s Status) bool { return s.Issuer == "first" && s.KeyType == "ec256" })
	get(Wishes{KeyType: "rsa2048"}, "an RSA key", func(s Status) bool { return s.KeyType == "rsa2048" })
	get(Wishes{KeyType: "ec384"}, "a P-384 key", func(s Status) bool { return s.KeyType == "ec384" })
	get(Wishes{Profile: "shortlived"}, "a short life", func(s Status) bool {
		return s.Profile == "shortlived" && s.NotAfter.Sub(s.NotBefore) < 7*24*time.Hour && s.NextRenewal.Before(s.NotAfter)
	})
	get(Wishes{Issuer: "second"}, "another CA", func(s Status) bool { return s.Issuer == "second" })
	get(Wishes{Issuer: "second", KeyType: "rsa2048"}, "another key by it", func(s Status) bool { return s.KeyType == "rsa2048" })
	orders := first.Orders() + second.Orders()
	get(Wishes{Issuer: "first", Profile: "shortlived"}, "what is in the storage", func(s Status) bool { return s.Issuer == "first" })
	if n := first.Orders() + second.Orders() - orders; n != 0 {
		t.Errorf("%d orders for what was in the storage", n)
	}

	m.SetNames([]Name{{"a.wishes.example.com", Wishes{Issuer: InternalCA}}, {"b.wishes.example.com", Wishes{Issuer: "nobody"}}, {"c.wishes.example.com", Wishes{KeyType: "dsa"}}, {"d.wishes.example.com", Wishes{Issuer: "google"}}})
	await(t, "the internal CA", func() bool {
		return m.Status("a.wishes.example.com").Issuer == InternalCA && m.Status("a.wishes.example.com").State == Valid
	})
	for name, want := range map[string]string{"b.wishes.example.com": `no CA "nobody"`, "c.wishes.example.com": `"dsa" is no key type`, "d.wishes.example.com": "EAB"} {
		if s := m.Status(name); s.State != Failed || !strings.Contains(s.LastError, want) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestReusedKeys(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := f.pebble(t, pebbletest.Options{})
	m, _, _ := with(t, f, Config{CAs: []CA{at(p, "ca")}, Use: []string{"ca"}, ReuseKeys: true, KeyType: "ec384"}, quick())
	m.SetNames(plain("a.keys.example.com"))
	await(t, "a certificate", valid(m, "a.keys.example.com"))
	old, serial := m.names.Load().get("a.keys.example.com").cert.Load(), m.Status("a.keys.example.com").Serial
	if err := m.Renew("A.Keys.Example.com."); err != nil {
		t.Fatal(err)
	}
	await(t, "another certificate", func() bool { return m.Status("a.keys.example.com").Serial != serial })
	now := m.names.Load().get("a.keys.example.com").cert.Load()
	if !now.PrivateKey.(interface {
		Equal(x crypto.PrivateKey) bool
	}).Equal(old.PrivateKey) || m.Status("a.keys.example.com").KeyType != "ec384" {
		t.Error("the key is another one")
	}
	if m.Renew("b.keys.example.com") == nil {
		t.Error("a name that nobody has is renewed")
	}
}

func TestPreferredChain(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := f.pebble(t, pebbletest.Options{AlternateRoots: 2})
	block, _ := pem.Decode(p.Root(2))
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	ca := at(p, "ca")
	ca.PreferredChain = []string{"a root that nobody has", root.Subject.CommonName}
	m, _, _ := with(t, f, Config{CAs: []CA{ca}, Use: []string{"ca"}}, quick())
	m.SetNames(plain("a.chain.example.com"))
	await(t, "a certificate", valid(m, "a.chain.example.com"))
	if _, err := served(t, m, "a.chain.example.com", p.RootsOf(2)); err != nil {
		t.Error(err)
	}
}

// The CA moves the time of renewal (RFC 9773), and is heard.
func TestRenewalAsTheCASuggests(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := f.pebble(t, pebbletest.Options{})
	cfg := Config{Storage: t.TempDir(), CAs: []CA{at(p, "ca")}, Use: []string{"ca"}}
	m, stop, _ := with(t, f, cfg, quick())
	m.SetNames(plain("a.suggests.example.com"))
	await(t, "a certificate", valid(m, "a.suggests.example.com"))
	cert, usual := m.names.Load().get("a.suggests.example.com").cert.Load(), m.Status("a.suggests.example.com")
	for _, c := range []struct {
		what        string
		from, until time.Time
	}{
		{"later", usual.NotAfter.Add(-10 * 24 * time.Hour), usual.NotAfter.Add(-9 * 24 * time.Hour)},
		{"sooner", usual.NotBefore.Add(24 * time.Hour), usual.NotBefore.Add(25 * time.Hour)},
		{"in a window that is none", usual.NotBefore.Add(48 * time.Hour), usual.NotBefore.Add(24 * time.Hour)},
	} {
		stop()
		forgetRenewalInfo(t, cfg.Storage, "a.suggests.example.com")
		p.SuggestRenewal(cert.Certificate[0], c.from, c.until)
		m, stop, _ = with(t, f, cfg, quick())
		m.SetNames(plain("a.suggests.example.com"))
		if c.until.Before(c.from) { // which is no window
			await(t, c.what, valid(m, "a.suggests.example.com"))
			continue
		}
		await(t, c.what, func() bool {
			next := m.Status("a.suggests.example.com").NextRenewal
			return !next.Before(c.from) && !next.After(c.until)
		})
	}
	if n := p.Orders(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// forgetRenewalInfo takes from the storage what a CA said about name.
func forgetRenewalInfo(t *testing.T, folder, name string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "certificates", "*", name, name+".json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	var m meta
	data, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.IssuerData.RenewalInfo = nil
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	write(t, files[0], string(text))
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := f.pebble(t, pebbletest.Options{})
	m, _, _ := with(t, f, Config{CAs: []CA{at(p, "ca")}, Use: []string{"ca"}, ReuseKeys: true}, quick())
	m.SetNames(plain("a.revoked.example.com", "a.localhost"))
	await(t, "a certificate", valid(m, "a.revoked.example.com"))
	old, s := m.names.Load().get("a.revoked.example.com").cert.Load(), m.Status("a.revoked.example.com")
	if err := m.Revoke(context.Background(), "a.revoked.example.com", 1); err != nil {
		t.Fatal(err)
	}
	if got := p.Status(s.Serial); got != "Revoked" {
		t.Errorf("the CA says the certificate is %q", got)
	}
	await(t, "another certificate", func() bool { return m.Status("a.revoked.example.com").Serial != s.Serial })
	now := m.names.Load().get("a.revoked.example.com").cert.Load()
	if now.PrivateKey.(interface {
		Equal(x crypto.PrivateKey) bool
	}).Equal(old.PrivateKey) {
		t.Error("the key of a revoked certificate is used again")
	}
	if err := m.Revoke(context.Background(), "a.localhost", 0); err == nil || !strings.Contains(err.Error(), "internal CA") {
		t.Errorf("an internal name: %v", err)
	}
}

// The CA has lost all accounts: renewal and revocation survive that.
func TestForgottenAccount(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := f.pebble(t, pebbletest.Options{})
	m, _, _ := with(t, f, Config{CAs: []CA{at(p, "ca")}, Use: []string{"ca"}}, quick())
	m.SetNames(plain("a.forgotten.example.com"))
	await(t, "a certificate", valid(m, "a.forgotten.example.com"))
	serial := m.Status("a.forgotten.example.com").Serial
	p.Down()
	p.Up()
	if err := m.Renew("a.forgotten.example.com"); err != nil {
		t.Fatal(err)
	}
	await(t, "another certificate", func() bool { return m.Status("a.forgotten.example.com").Serial != serial })
	if err := m.Revoke(context.Background(), "a.forgotten.example.com", 4); err != nil {
		t.Error(err)
	}
}

// All of Pebble's switches for trouble at once.
func TestSlowCA(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := f.pebble(t, pebbletest.Options{Slow: true, BadNonces: 20})
	m, _, _ := with(t, f, Config{CAs: []CA{at(p, "ca")}, Use: []string{"ca"}}, quick())
	m.SetNames(plain("a.slowca.example.com", "b.slowca.example.com", "c.slowca.example.com"))
	for _, name := range []string{"a.slowca.example.com", "b.slowca.example.com", "c.slowca.example.com"} {
		await(t, "a certificate of "+name, valid(m, name))
	}
}

// Pebble reaches no address on the internet, so this one is made to be public.
func TestCertificateForAddress(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := f.pebble(t, pebbletest.Options{Profiles: map[string]time.Duration{"shortlived": 6 * 24 * time.Hour}})
	ca := at(p, "letsencrypt")
	m, _, _ := with(t, f, Config{CAs: []CA{ca}, Use: []string{"letsencrypt"}}, quick())
	m.isPublic = func(netip.Addr) bool { return true }
	m.SetNames(plain("127.0.0.1"))
	await(t, "a certificate", valid(m, "127.0.0.1"))
	if s := m.Status("127.0.0.1"); s.Profile != "shortlived" || s.NotAfter.Sub(s.NotBefore) > 7*24*time.Hour {
		t.Errorf("status: %+v", s)
	}
	cert, err := handshake(t, m, "")
	if err != nil || len(cert.IPAddresses) != 1 || len(cert.Issuer.Organization) > 0 {
		t.Errorf("a client that connects to the address gets %+v, %v", cert, err)
	}
}
