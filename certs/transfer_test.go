package certs

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/certs/migrate"
	"portway/internal/pebbletest"
)

// A switch from another proxy costs no order and no account.
func TestImportCostsNothing(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort})
	first := t.TempDir()
	m, stop, _ := obtain(t, p, f, first, quick())
	m.SetNames(plain("a.example.com", "b.example.com"))
	await(t, "certificates", func() bool { return valid(m, "a.example.com")() && valid(m, "b.example.com")() })
	var found migrate.Found
	for _, name := range []string{"a.example.com", "b.example.com"} {
		chain, key, err := m.Export(name)
		if err != nil {
			t.Fatal(err)
		}
		if pair, err := tls.X509KeyPair(chain, key); err != nil || len(pair.Certificate) < 2 || pair.Leaf.VerifyHostname(name) != nil {
			t.Errorf("%s is exported as %s: %v", name, chain, err)
		}
		found.Certificates = append(found.Certificates, migrate.Certificate{Chain: chain, Key: key, CA: p.Directory, Source: "test"})
	}
	keys, err := filepath.Glob(filepath.Join(first, "account-keys", "*", "*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("the account's key: %v, %v", keys, err)
	}
	account, err := os.ReadFile(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	found.Accounts = []migrate.Account{{CA: p.Directory, Key: account}}
	stop()

	orders := p.Orders()
	m, stop, _ = obtain(t, p, f, t.TempDir(), quick())
	defer stop()
	for _, i := range m.Import(t.Context(), found) {
		if i.Why != "" {
			t.Errorf("%s is left out: %s", i.What, i.Why)
		}
	}
	m.SetNames(plain("a.example.com", "b.example.com"))
	for _, name := range []string{"a.example.com", "b.example.com"} {
		await(t, name, valid(m, name))
		if _, err := served(t, m, name, p.Roots()); err != nil {
			t.Error(err)
		}
	}
	if n := p.Orders() - orders; n != 0 {
		t.Errorf("the switch made %d orders", n)
	}
	m.SetNames(plain("a.example.com", "c.example.com"))
	await(t, "another name", valid(m, "c.example.com"))
	if n := strings.Count(p.Log(), "accounts in memory"); n != 1 {
		t.Errorf("the CA has %d accounts, want the imported one only", n)
	}
	// Again: nothing is newer than what is there.
	for _, i := range m.Import(t.Context(), found) {
		if !strings.Contains(i.Why, "there is") {
			t.Errorf("for the second time: %+v", i)
		}
	}
}

// A certificate that is imported while its name waits is served at once, and one
// that is older than what is there never.
func TestImportWhileRunning(t *testing.T) {
	t.Parallel()
	ca := newFakeCA(t, ninetyDays)
	log, _ := newLogs(t)
	other, err := newManager(Config{Storage: t.TempDir(), Directory: "https://ca.example/dir", Logger: log}, quick(), ca.issuer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run(t, other))
	other.SetNames(plain("a.example.org"))
	await(t, "a certificate", valid(other, "a.example.org"))
	chain, key, err := other.Export("a.example.org")
	if err != nil {
		t.Fatal(err)
	}
	found := migrate.Found{Certificates: []migrate.Certificate{{Chain: chain, Key: key}}}

	slow := quick()
	slow.backoff = backoff{base: time.Hour, limit: time.Hour}
	broken := newFakeCA(t, ninetyDays)
	broken.refuse(func(context.Context, string) error { return errFake })
	m, err := newManager(Config{Storage: t.TempDir(), Directory: "https://ca.example/dir", Logger: log}, slow, broken.issuer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run(t, m))
	m.SetNames(plain("a.example.org"))
	await(t, "a failure", failed(m, "a.example.org"))
	if _, _, err := m.Export("a.example.org"); err == nil || !strings.Contains(err.Error(), "no certificate of a.example.org yet") {
		t.Errorf("export before there is one: %v", err)
	}
	if got := m.Import(t.Context(), found); len(got) != 1 || got[0] != (Import{What: "a.example.org"}) {
		t.Errorf("%+v", got)
	}
	await(t, "what was imported", valid(m, "a.example.org"))
	if s := m.Status("a.example.org"); s.LastError != "" || s.Serial != other.Status("a.example.org").Serial {
		t.Errorf("%+v", s)
	}
	wrong := migrate.Found{Certificates: []migrate.Certificate{{Chain: chain, Key: key, CA: "https://elsewhere.example/dir"}}}
	if got := m.Import(t.Context(), wrong); len(got) != 1 || !strings.Contains(got[0].Why, "would not ask") {
		t.Errorf("by another CA: %+v", got)
	}
}

func TestExportOfTheInternalCA(t *testing.T) {
	t.Parallel()
	log, _ := newLogs(t)
	m, err := New(Config{Storage: t.TempDir(), Internal: true, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run(t, m))
	m.SetNames(plain("nas.lan"))
	chain, key, err := m.Export("nas.lan")
	if err != nil {
		t.Fatal(err)
	}
	if pair, err := tls.X509KeyPair(chain, key); err != nil || pair.Leaf.VerifyHostname("nas.lan") != nil {
		t.Error(err)
	}
	if _, _, err := m.Export("other.lan"); err == nil {
		t.Error("a name of no route is exported")
	}
}

// What is deleted after a revocation is that certificate, and nothing that is being written.
func TestForgettingKeepsOthersAway(t *testing.T) {
	t.Parallel()
	ca := newFakeCA(t, ninetyDays)
	m, stop, _ := manageAt(t, t.TempDir(), ca, quick())
	defer stop()
	locked := make(chan bool, 10)
	ca.refuse(func(ctx context.Context, name string) error {
		got, err := m.storage.TryLock(ctx, issueLock(name))
		if got {
			_ = m.storage.Unlock(ctx, issueLock(name))
		}
		locked <- !got && err == nil
		return nil
	})
	m.SetNames(plain("a.com"))
	await(t, "the first certificate", valid(m, "a.com"))
	if !<-locked {
		t.Error("certmagic has a lock of another name")
	}
	e, err := m.asked("a.com")
	if err != nil {
		t.Fatal(err)
	}
	look := func() *stored { return newest(t.Context(), m.storage, e.chain, "a.com", func(*authority, error) {}) }
	first := look()
	if err := m.storage.Lock(t.Context(), issueLock("a.com")); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := m.forget(short, first, "a.com"); err == nil || look() == nil {
		t.Errorf("deleted while somebody else had the lock: %v", err)
	}
	if err := m.storage.Unlock(t.Context(), issueLock("a.com")); err != nil {
		t.Fatal(err)
	}
	if err := m.Renew("a.com"); err != nil {
		t.Fatal(err)
	}
	await(t, "another certificate", func() bool { now := look(); return now != nil && !now.Leaf.Equal(first.Leaf) })
	if err := m.forget(t.Context(), first, "a.com"); err != nil || look() == nil {
		t.Errorf("the newer certificate is gone: %v", err)
	}
	if err := m.forget(t.Context(), look(), "a.com"); err != nil || look() != nil {
		t.Errorf("the certificate is still there: %v", err)
	}
}

// One's own certificate is exported like others.
func TestExportOfOnesOwn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	cert := ownFile(t, filepath.Join(folder, "nas.pem"), 1000*time.Hour, "nas.example.com")
	log, _ := newLogs(t)
	m, err := New(Config{Storage: t.TempDir(), Files: folder, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run(t, m))
	m.SetNames(plain("nas.example.com"))
	chain, key, err := m.Export("nas.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if pair, err := tls.X509KeyPair(chain, key); err != nil || !pair.Leaf.Equal(cert) {
		t.Error(err)
	}
	if err := m.Renew("nas.example.com"); err == nil || !strings.Contains(err.Error(), "is your own") {
		t.Errorf("it can be renewed: %v", err)
	}
}
