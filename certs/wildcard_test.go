package certs

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// manageDNS is manage with a DNS provider for example.com.
func manageDNS(t *testing.T, folder string, ca *fakeCA) (m *Manager, stop func()) {
	t.Helper()
	hourly := defaultTiming()
	hourly.check = time.Hour
	log, _ := newLogs(t)
	m, err := newManager(Config{Storage: folder, Directory: "https://ca.example/dir", DNS: noSolver{}, Logger: log}, hourly, ca.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return m, run(t, m)
}

// servedNames are those in the certificate for host.
func servedNames(t *testing.T, m *Manager, host string) string {
	t.Helper()
	cert, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: host})
	if err != nil || cert == nil || cert.Leaf == nil {
		t.Fatalf("%s: %v", host, err)
	}
	return strings.Join(cert.Leaf.DNSNames, ",")
}

func TestOneWildcardServesItsHosts(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	inBubble(t, func(t *testing.T) {
		m, stop := manageDNS(t, folder, ca)
		defer stop()
		m.SetNames([]Name{
			{Name: "a.example.com"},
			{Name: "b.example.com", Wishes: Wishes{Wildcard: "never"}},
			{Name: "c.example.com", Wishes: Wishes{KeyType: "rsa2048"}},
			{Name: "d.example.com", Wishes: Wishes{Challenge: "http-01"}},
			{Name: "*.example.com"},
			{Name: "example.com"},
			{Name: "x.a.example.com"},
		})
		time.Sleep(time.Minute)
		for host, want := range map[string]string{
			"a.example.com": "*.example.com", "z.example.com": "*.example.com",
			"b.example.com": "b.example.com", "c.example.com": "c.example.com", "d.example.com": "d.example.com",
			"example.com": "example.com", "x.a.example.com": "x.a.example.com",
		} {
			if got := servedNames(t, m, host); got != want {
				t.Errorf("%s is served with %s, want %s", host, got, want)
			}
		}
		if n := len(ca.tries("a.example.com")); n != 0 {
			t.Errorf("%d orders for what the wildcard covers", n)
		}
		if s := m.Status("a.example.com"); s.State != Valid || s.Wildcard != "*.example.com" || s.Name != "a.example.com" || s.NextRenewal.IsZero() {
			t.Errorf("status: %+v", s)
		}
		// Asking for another certificate of the host is asking for the wildcard's.
		if err := m.Renew("a.example.com"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := len(ca.tries("*.example.com")); n != 2 {
			t.Errorf("%d orders of the wildcard, want 2", n)
		}
		time.Sleep(ninetyDays)
		if n := len(ca.tries("a.example.com")); n != 0 {
			t.Errorf("%d orders for what the wildcard covers", n)
		}
		// Without the wildcard the host gets one of its own.
		m.SetNames(plain("a.example.com"))
		time.Sleep(time.Minute)
		if got := servedNames(t, m, "a.example.com"); got != "a.example.com" {
			t.Errorf("without the wildcard: %s", got)
		}
	})
}

// What a host has is served and kept while the wildcard is not there; if that fails,
// each host is cared for as ever.
func TestWildcardFails(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	inBubble(t, func(t *testing.T) {
		m, stop := manageDNS(t, folder, ca)
		defer stop()
		m.SetNames(plain("old.example.com"))
		time.Sleep(time.Minute)
		ca.refuse(func(_ context.Context, name string) error {
			if name == "*.example.com" {
				time.Sleep(time.Minute)
				return errFake
			}
			return nil
		})
		m.SetNames(plain("old.example.com", "new.example.com", "*.example.com"))
		time.Sleep(30 * time.Second)
		if got := servedNames(t, m, "old.example.com"); got != "old.example.com" {
			t.Errorf("while the wildcard is obtained: %s", got)
		}
		if s := m.Status("new.example.com"); s.State != Pending || len(ca.tries("new.example.com")) != 0 {
			t.Errorf("while the wildcard is obtained: %+v", s)
		}
		if !m.Serves("old.example.com") || m.Serves("new.example.com") || m.Serves("other.example.com") {
			t.Error("it is not told right what is served")
		}
		time.Sleep(time.Minute)
		if got := servedNames(t, m, "new.example.com"); got != "new.example.com" {
			t.Errorf("after the wildcard failed: %s", got)
		}
		ca.refuse(nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for _, host := range []string{"old.example.com", "new.example.com"} {
			if got := servedNames(t, m, host); got != "*.example.com" {
				t.Errorf("once the wildcard is there: %s has %s", host, got)
			}
		}
		time.Sleep(ninetyDays)
		if n := len(ca.tries("new.example.com")) + len(ca.tries("old.example.com")); n != 2 {
			t.Errorf("%d orders of hosts, want only the 2 from before", n)
		}
	})
}

func TestWildcardOnWish(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	inBubble(t, func(t *testing.T) {
		m, stop := manageDNS(t, folder, ca)
		defer stop()
		always := Wishes{Wildcard: "always"}
		m.SetNames([]Name{
			{Name: "a.example.com", Wishes: always},
			{Name: "b.example.com", Wishes: always},
			{Name: "c.example.com"},
			{Name: "example.com", Wishes: always},
			{Name: "a.example.org", Wishes: always}, // of another provider
			{Name: "nas.lan", Wishes: always},
		})
		time.Sleep(time.Minute)
		for host, want := range map[string]string{
			"a.example.com": "*.example.com", "b.example.com": "*.example.com", "c.example.com": "*.example.com",
			"example.com": "example.com", "a.example.org": "a.example.org", "nas.lan": "nas.lan",
		} {
			if got := servedNames(t, m, host); got != want {
				t.Errorf("%s is served with %s, want %s", host, got, want)
			}
		}
		if n := len(ca.tries("*.example.com")); n != 1 {
			t.Errorf("%d orders of the wildcard", n)
		}
		if s := m.Status("*.example.org"); s.State != Failed || !strings.Contains(s.LastError, "set dns-provider") {
			t.Errorf("status: %+v", s)
		}
	})
}

func TestParent(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"a.example.com": "*.example.com", "b.a.example.com": "*.a.example.com", "a.example.co.uk": "*.example.co.uk",
		"example.com": "", "example.co.uk": "", "me.github.io": "", "com": "", "": "", "*.example.com": "", "8.8.8.8": "", "2001:db8::1": "",
	} {
		if got := parent(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}
