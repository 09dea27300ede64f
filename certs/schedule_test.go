package certs

import (
	"context"
	"fmt"
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
		m.SetNames(plain("a.com"))
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
		m.SetNames(plain("a.com"))
		time.Sleep(10 * time.Minute)
		stop()
		before := len(ca.tries("a.com"))
		for range 20 {
			m, stop, l := manage(t, folder, ca)
			m.SetNames(plain("a.com"))
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
		m.SetNames(plain("a.com"))
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
		m.SetNames(plain("a.com"))
		time.Sleep(2 * time.Minute)
		stop()
		m, stop, _ = manage(t, folder, ca)
		m.SetNames(plain("a.com"))
		time.Sleep(3 * time.Minute)
		stop()
		if want := []int{0, 1, 2}; !slices.Equal(failures, want) {
			t.Errorf("got %v, want %v", failures, want)
		}
	})
	letsEncrypt, err := newACME(Config{}, CA{Directory: certmagic.LetsEncryptProductionCA}, knownCA{}, &certmagic.Config{})
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
			m.SetNames(plain("a.com"))
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
		m.SetNames(plain("a.com"))
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
		m.SetNames(plain(names...))
		time.Sleep(4 * time.Minute) // all of them have failed and queue for their next tries
		m.SetNames(plain(append(names, "good.com", "x.localhost")...))
		time.Sleep(5 * time.Second)
		for _, name := range []string{"good.com", "x.localhost"} {
			if s := m.Status(name); s.State != Valid {
				t.Errorf("%s: %+v", name, s)
			}
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
		if err := m.authorities["ca.example"].ledger.save(context.Background(), record{Name: "a.com", Attempts: 1, LastTry: then, NextTry: then.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		m.SetNames(plain("a.com"))
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
