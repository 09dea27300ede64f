package certs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRenewalWithAThirdLeft(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	inBubble(t, func(t *testing.T) {
		m, stop, l := manage(t, folder, ca)
		defer stop()
		m.SetNames(plain("a.com"))
		time.Sleep(59 * 24 * time.Hour)
		first := m.Status("a.com").NotAfter
		if n := len(ca.tries("a.com")); n != 1 {
			t.Errorf("%d orders in 59 of 90 days, want 1", n)
		}
		time.Sleep(2 * 24 * time.Hour)
		if n := len(ca.tries("a.com")); n != 2 {
			t.Errorf("%d orders in 61 of 90 days, want 2", n)
		}
		if s := m.Status("a.com"); s.State != Valid || !s.NotAfter.After(first) {
			t.Errorf("status: %+v", s)
		}
		if cert := m.names.Load().get("a.com").cert.Load(); !cert.Leaf.NotAfter.After(first) {
			t.Error("the old certificate is served")
		}
		if len(l.lines("level=INFO", "Renewed", "name=a.com", "issuer=ca.example", "expires=", "took=")) != 1 {
			t.Error("the log does not tell of the renewal")
		}
	})
}

func TestRenewalThatFails(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	inBubble(t, func(t *testing.T) {
		m, stop, l := manage(t, folder, ca)
		m.SetNames(plain("a.com"))
		time.Sleep(59 * 24 * time.Hour)
		ca.refuse(func(context.Context, string) error { return errFake })
		time.Sleep(2 * 24 * time.Hour)
		s := m.Status("a.com")
		if s.State != Valid || s.Attempts < 5 || !strings.Contains(s.LastError, "The fake CA says no") || s.NextTry.IsZero() {
			t.Errorf("status: %+v", s)
		}
		if len(l.lines("level=ERROR", "the old one is still served", "name=a.com", "expires=")) == 0 {
			t.Error("the log does not tell of the failure")
		}
		stop()
		m, stop, _ = manage(t, folder, ca)
		defer stop()
		m.SetNames(plain("a.com"))
		synctest.Wait()
		if again := m.Status("a.com"); again.State != Valid || again.Attempts != s.Attempts || again.LastError == "" || again.NotAfter != s.NotAfter {
			t.Errorf("after a restart: %+v", again)
		}
		time.Sleep(31 * 24 * time.Hour)
		if s := m.Status("a.com"); s.State != Failed || s.NotAfter.IsZero() {
			t.Errorf("after its end: %+v", s)
		}
		ca.refuse(nil)
		time.Sleep(7 * time.Hour)
		if s := m.Status("a.com"); s.State != Valid || s.LastError != "" {
			t.Errorf("after a success: %+v", s)
		}
	})
}

func TestVanishedNamesStopRenewing(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	inBubble(t, func(t *testing.T) {
		m, stop, _ := manage(t, folder, ca)
		defer stop()
		m.SetNames(plain("a.com", "b.com"))
		time.Sleep(time.Hour)
		m.SetNames(plain("b.com"))
		time.Sleep(ninetyDays)
		if a, b := len(ca.tries("a.com")), len(ca.tries("b.com")); a != 1 || b != 2 {
			t.Errorf("orders: %d for the name that vanished, %d for the other; want 1 and 2", a, b)
		}
		if s := m.Status("a.com"); s.State != Unknown {
			t.Errorf("status: %+v", s)
		}
		if files, _ := filepath.Glob(filepath.Join(folder, "certificates", "fake", "a.com", "*")); len(files) != 3 {
			t.Errorf("its files are gone: %v", files)
		}
		m.SetNames(plain("a.com", "b.com")) // expired by now
		time.Sleep(time.Minute)
		if s := m.Status("a.com"); s.State != Valid || len(ca.tries("a.com")) != 2 {
			t.Errorf("after it came back: %+v", s)
		}
	})
}

// A name that vanishes while its order is under way, and comes back.
func TestNameVanishesDuringATry(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	ca.refuse(func(ctx context.Context, _ string) error {
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
		return ctx.Err()
	})
	inBubble(t, func(t *testing.T) {
		m, stop, l := manage(t, folder, ca)
		defer stop()
		m.SetNames(plain("a.com"))
		time.Sleep(time.Second)
		m.SetNames(nil)
		time.Sleep(time.Second)
		if len(l.lines("level=ERROR")) != 0 {
			t.Errorf("an error is reported:\n%s", l)
		}
		m.SetNames(plain("a.com"))
		time.Sleep(time.Minute)
		if s := m.Status("a.com"); s.State != Valid {
			t.Errorf("status: %+v", s)
		}
	})
}

// As a crash between the files of a renewed certificate leaves them.
func TestDamagedCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	for _, ext := range []string{".key", ".crt", ".json"} {
		t.Run(ext, func(t *testing.T) {
			t.Parallel()
			folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
			inBubble(t, func(t *testing.T) {
				m, stop, _ := manage(t, folder, ca)
				m.SetNames(plain("a.com", "b.com"))
				time.Sleep(time.Minute)
				stop()
				file := func(name string) string {
					return filepath.Join(folder, "certificates", "fake", name, name+ext)
				}
				other, err := os.ReadFile(file("b.com"))
				if err != nil {
					t.Fatal(err)
				}
				if ext == ".json" {
					other = other[:len(other)/2]
				}
				write(t, file("a.com"), string(other))

				m, stop, l := manage(t, folder, ca)
				defer stop()
				m.SetNames(plain("a.com", "b.com"))
				time.Sleep(time.Minute)
				if s := m.Status("a.com"); s.State != Valid {
					t.Errorf("status: %+v", s)
				}
				if a, b := len(ca.tries("a.com")), len(ca.tries("b.com")); a != 2 || b != 1 {
					t.Errorf("orders: %d and %d, want 2 and 1", a, b)
				}
				if len(l.lines("level=WARN", "damaged", "name=a.com")) != 1 {
					t.Error("the log does not say so")
				}
			})
		})
	}
}

// From staging to production: what the other CA issued is not served.
func TestAnotherCA(t *testing.T) {
	t.Parallel()
	folder, staging, production := t.TempDir(), newFakeCA(t, ninetyDays), newFakeCA(t, ninetyDays)
	staging.key = "staging"
	inBubble(t, func(t *testing.T) {
		m, stop, _ := manage(t, folder, staging)
		m.SetNames(plain("a.com"))
		time.Sleep(time.Minute)
		stop()
		m, stop, _ = manage(t, folder, production)
		defer stop()
		m.SetNames(plain("a.com"))
		time.Sleep(time.Minute)
		cert := m.names.Load().get("a.com").cert.Load()
		if cert == nil || cert.Leaf.CheckSignatureFrom(production.root) != nil {
			t.Error("the certificate is not by the CA that is set now")
		}
		if n := len(production.tries("a.com")); n != 1 {
			t.Errorf("%d orders, want 1", n)
		}
	})
}
