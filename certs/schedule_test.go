package certs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

const ninetyDays = 90 * 24 * time.Hour

// inBubble runs f with a faked clock, in a bubble that waits for the goroutines
// of certmagic: those that keep lock files fresh look up every 5 s.
func inBubble(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		f(t)
		time.Sleep(time.Minute)
	})
}

// manage starts a Manager with ca over folder.
func manage(t *testing.T, folder string, ca *fakeCA) (m *Manager, stop func(), l *logs) {
	t.Helper()
	hourly := defaultTiming()
	hourly.check = time.Hour // the tests below last for months
	return manageAt(t, folder, ca, hourly)
}

func manageAt(t *testing.T, folder string, ca *fakeCA, speed timing) (m *Manager, stop func(), l *logs) {
	t.Helper()
	log, l := newLogs(t)
	m, err := newManager(Config{Storage: folder, Directory: "https://ca.example/dir", Logger: log}, speed, ca.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return m, run(t, m), l
}

func TestFailuresBackOff(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	ca.refuse(func(context.Context, string) error { return errFake })
	inBubble(t, func(t *testing.T) {
		m, stop, l := manage(t, folder, ca)
		defer stop()
		m.SetNames([]string{"a.com"})
		time.Sleep(24 * time.Hour)
		tries := ca.tries("a.com")
		// After 1, 2, 4 ... 256 minutes, then every 6 hours.
		if n := len(tries); n < 11 || n > 13 {
			t.Errorf("%d tries in a day, want 12", n)
		}
		for i := 1; i < len(tries); i++ {
			want := min(time.Minute<<(i-1), 6*time.Hour)
			if gap := tries[i].Sub(tries[i-1]); gap < want || gap > want+want/10+time.Second {
				t.Errorf("try %d came %v after the one before, want about %v", i+1, gap, want)
			}
		}
		s := m.Status("a.com")
		if s.State != Failed || s.Attempts != len(tries) || !strings.Contains(s.LastError, "The fake CA says no") || s.NextTry.Before(time.Now()) {
			t.Errorf("status: %+v", s)
		}
		if found := l.lines("level=ERROR", "name=a.com", "The fake CA says no", "next_try="); len(found) != len(tries) {
			t.Errorf("%d lines in the log for %d failures", len(found), len(tries))
		}
		ca.refuse(nil)
		time.Sleep(7 * time.Hour)
		if s := m.Status("a.com"); s.State != Valid || s.Attempts != 0 || s.LastError != "" || !s.NextTry.IsZero() {
			t.Errorf("after a success: %+v", s)
		}
		if left, _ := filepath.Glob(filepath.Join(folder, "failures", "*", "*")); len(left) != 0 {
			t.Errorf("failures are still recorded: %v", left)
		}
	})
}

func TestBackOffOutlastsRestarts(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	ca.refuse(func(context.Context, string) error { return errFake })
	inBubble(t, func(t *testing.T) {
		m, stop, _ := manage(t, folder, ca)
		m.SetNames([]string{"a.com"})
		time.Sleep(10 * time.Minute)
		stop()
		before := len(ca.tries("a.com"))
		for range 20 {
			m, stop, l := manage(t, folder, ca)
			m.SetNames([]string{"a.com"})
			time.Sleep(10 * time.Second)
			s := m.Status("a.com")
			if s.State != Failed || s.Attempts != before || !strings.Contains(s.LastError, "The fake CA says no") {
				t.Fatalf("status: %+v", s)
			}
			if len(l.lines("Waiting", "name=a.com", "attempts=4", "next_try=")) != 1 {
				t.Error("the log does not say what it waits for")
			}
			stop()
		}
		if n := len(ca.tries("a.com")); n != before {
			t.Errorf("20 restarts made %d more tries", n-before)
		}
		// The wait goes on where it was: the fifth try comes 8 minutes after the fourth.
		_, stop, _ = manage(t, folder, ca)
		stop()
		m, stop, _ = manage(t, folder, ca)
		defer stop()
		m.SetNames([]string{"a.com"})
		time.Sleep(10 * time.Minute)
		tries := ca.tries("a.com")
		if len(tries) != before+1 {
			t.Fatalf("%d tries, want %d", len(tries), before+1)
		}
		if gap := tries[before].Sub(tries[before-1]); gap < 8*time.Minute || gap > 9*time.Minute {
			t.Errorf("the next try came after %v, want about 8 minutes", gap)
		}
	})
}

// certmagic tries Let's Encrypt's staging CA first if it knows of failures.
func TestTriesKnowOfFailures(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	var failures []int
	ca.refuse(func(ctx context.Context, _ string) error {
		failures = append(failures, *ctx.Value(certmagic.AttemptsCtxKey).(*int))
		return errFake
	})
	inBubble(t, func(t *testing.T) {
		m, stop, _ := manage(t, folder, ca)
		m.SetNames([]string{"a.com"})
		time.Sleep(2 * time.Minute)
		stop()
		m, stop, _ = manage(t, folder, ca)
		m.SetNames([]string{"a.com"})
		time.Sleep(3 * time.Minute)
		stop()
		if want := []int{0, 1, 2}; !slices.Equal(failures, want) {
			t.Errorf("got %v, want %v", failures, want)
		}
	})
	letsEncrypt, err := newACME(Config{}, certmagic.LetsEncryptProductionCA, &certmagic.Config{})
	if err != nil || letsEncrypt.TestCA != certmagic.LetsEncryptStagingCA {
		t.Errorf("Let's Encrypt: %v, with the staging CA %q", err, letsEncrypt.TestCA)
	}
}

// A process that ends in the middle of each try leaves nobody to record it.
func TestRestartLoopInTheMiddleOfTries(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	ca.refuse(func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	})
	inBubble(t, func(t *testing.T) {
		for range 100 {
			m, stop, _ := manage(t, folder, ca)
			m.SetNames([]string{"a.com"})
			time.Sleep(2 * time.Second)
			stop()
		}
		if n := len(ca.tries("a.com")); n < 2 || n > 7 {
			t.Errorf("100 restarts within %v made %d orders, want about 6", 200*time.Second, n)
		}
	})
}

func TestRetryAfterIsRespected(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	ca.refuse(func(context.Context, string) error {
		return acme.Problem{Type: acme.ProblemTypeRateLimited, Status: 429, Detail: "too many failed authorizations"}
	})
	inBubble(t, func(t *testing.T) {
		m, stop, _ := manage(t, folder, ca)
		defer stop()
		m.SetNames([]string{"a.com"})
		time.Sleep(59 * time.Minute)
		if n := len(ca.tries("a.com")); n != 1 {
			t.Errorf("%d tries within the hour after a rate limit, want 1", n)
		}
		if s := m.Status("a.com"); !strings.Contains(s.LastError, "too many failed authorizations") {
			t.Errorf("status: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		if n := len(ca.tries("a.com")); n != 2 {
			t.Errorf("%d tries, want 2", n)
		}
	})
}

func TestRenewalWithAThirdLeft(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	inBubble(t, func(t *testing.T) {
		m, stop, l := manage(t, folder, ca)
		defer stop()
		m.SetNames([]string{"a.com"})
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
		if n := len(m.cache.AllMatchingCertificates("a.com")); n != 1 {
			t.Errorf("%d certificates are cached, want only the new one", n)
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
		m.SetNames([]string{"a.com"})
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
		m.SetNames([]string{"a.com"})
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
		m.SetNames([]string{"a.com", "b.com"})
		time.Sleep(time.Hour)
		m.SetNames([]string{"b.com"})
		time.Sleep(ninetyDays)
		if a, b := len(ca.tries("a.com")), len(ca.tries("b.com")); a != 1 || b != 2 {
			t.Errorf("orders: %d for the name that vanished, %d for the other; want 1 and 2", a, b)
		}
		if s := m.Status("a.com"); s.State != Unknown {
			t.Errorf("status: %+v", s)
		}
		if n := len(m.cache.AllMatchingCertificates("a.com")); n != 0 {
			t.Errorf("%d certificates of the name are kept in memory", n)
		}
		if files, _ := filepath.Glob(filepath.Join(folder, "certificates", "fake", "a.com", "*")); len(files) != 3 {
			t.Errorf("its files are gone: %v", files)
		}
		m.SetNames([]string{"a.com", "b.com"}) // expired by now
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
		m.SetNames([]string{"a.com"})
		time.Sleep(time.Second)
		m.SetNames(nil)
		time.Sleep(time.Second)
		if len(l.lines("level=ERROR")) != 0 {
			t.Errorf("an error is reported:\n%s", l)
		}
		m.SetNames([]string{"a.com"})
		time.Sleep(time.Minute)
		if s := m.Status("a.com"); s.State != Valid {
			t.Errorf("status: %+v", s)
		}
	})
}

// Names whose tries hang or fail do not keep others waiting.
func TestNamesDoNotDelayEachOther(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	ca.refuse(func(ctx context.Context, name string) error {
		if strings.HasPrefix(name, "bad") {
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Second): // a firewall that drops
			}
			return errFake
		}
		return nil
	})
	few := defaultTiming()
	few.fresh, few.again = 4, 2
	inBubble(t, func(t *testing.T) {
		m, stop, _ := manageAt(t, folder, ca, few)
		defer stop()
		var names []string
		for i := range 20 {
			names = append(names, fmt.Sprintf("bad%d.com", i))
		}
		m.SetNames(names)
		time.Sleep(4 * time.Minute) // all of them have failed and queue for their next tries
		m.SetNames(append(names, "good.com", "x.localhost"))
		time.Sleep(5 * time.Second)
		for _, name := range []string{"good.com", "x.localhost"} {
			if s := m.Status(name); s.State != Valid {
				t.Errorf("%s: %+v", name, s)
			}
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
				m.SetNames([]string{"a.com", "b.com"})
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
				m.SetNames([]string{"a.com", "b.com"})
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
		m.SetNames([]string{"a.com"})
		time.Sleep(time.Minute)
		stop()
		m, stop, _ = manage(t, folder, production)
		defer stop()
		m.SetNames([]string{"a.com"})
		time.Sleep(time.Minute)
		certs := m.cache.AllMatchingCertificates("a.com")
		if len(certs) != 1 || certs[0].Leaf.CheckSignatureFrom(production.root.cert) != nil {
			t.Error("the certificate is not by the CA that is set now")
		}
		if n := len(production.tries("a.com")); n != 1 {
			t.Errorf("%d orders, want 1", n)
		}
	})
}

// A clock that was wrong when a failure was recorded must not stop a name for years.
func TestRecordFromTheFuture(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	inBubble(t, func(t *testing.T) {
		m, stop, _ := manage(t, folder, ca)
		defer stop()
		then := time.Now().AddDate(10, 0, 0)
		if err := m.authority.ledger.save(context.Background(), record{Name: "a.com", Attempts: 1, LastTry: then, NextTry: then.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		m.SetNames([]string{"a.com"})
		time.Sleep(longestWait + time.Hour)
		if s := m.Status("a.com"); s.State != Valid {
			t.Errorf("status: %+v", s)
		}
	})
}

func TestRunOnce(t *testing.T) {
	t.Parallel()
	m := newInternal(t, "a.localhost")
	await(t, "the first Run", func() bool { return m.Status("a.localhost").State == Valid })
	if err := m.Run(context.Background()); err == nil {
		t.Error("Run may be called twice")
	}
}
