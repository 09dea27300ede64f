package certs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"portway/certs/budget"
	"portway/internal/pebbletest"
)

// manageWithin is manage with a CA that has limits.
func manageWithin(t *testing.T, folder string, ca *fakeCA, limits budget.Limits) (m *Manager, stop func(), l *logs) {
	t.Helper()
	hourly := defaultTiming()
	hourly.check = time.Hour
	log, l := newLogs(t)
	m, err := newManager(Config{Storage: folder, Directory: "https://ca.example/dir", Limits: limits, Logger: log}, hourly, ca.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return m, run(t, m), l
}

// An order that would break a limit waits, says until when, and is made then.
func TestOrderWaitsForTheCAsLimit(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	limits := budget.Limits{Certificates: budget.Rate{Burst: 2, Per: 24 * time.Hour}}
	inBubble(t, func(t *testing.T) {
		m, stop, l := manageWithin(t, folder, ca, limits)
		m.SetNames(plain("a.example.org", "b.example.org"))
		time.Sleep(time.Second)
		m.SetNames(plain("a.example.org", "b.example.org", "c.example.org", "www.example.net"))
		time.Sleep(time.Second)
		begun := time.Now()
		for name, want := range map[string]State{"a.example.org": Valid, "b.example.org": Valid, "www.example.net": Valid, "c.example.org": Failed} {
			if s := m.Status(name); s.State != want {
				t.Errorf("%+v", s)
			}
		}
		s := m.Status("c.example.org")
		if wait := s.NextTry.Sub(begun); wait < 11*time.Hour || wait > 12*time.Hour || !strings.Contains(s.LastError, "The CA allows 2 new certificates for example.org in a day") {
			t.Errorf("next try in %v: %+v", wait, s)
		}
		if n := len(l.lines("level=WARN", "An order waits", "name=c.example.org", "next_try=")); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
		stop()
		m, stop, _ = manageWithin(t, folder, ca, limits)
		defer stop()
		m.SetNames(plain("a.example.org", "c.example.org"))
		time.Sleep(time.Second)
		if again := m.Status("c.example.org"); !again.NextTry.Equal(s.NextTry) || again.LastError != s.LastError {
			t.Errorf("after a restart: %+v, before: %+v", again, s)
		}
		if n := len(ca.tries("c.example.org")); n != 0 {
			t.Errorf("%d orders were made", n)
		}
		time.Sleep(time.Until(s.NextTry) + time.Minute)
		if s := m.Status("c.example.org"); s.State != Valid || s.Attempts != 0 {
			t.Errorf("when it may: %+v", s)
		}
	})
}

// What the CA refuses for a whole domain is not asked for under its other names.
func TestRefusalCountsForTheDomain(t *testing.T) {
	t.Parallel()
	for detail, want := range map[string]budget.Scope{
		`too many certificates (50) already issued for "example.org" in the last 168h0m0s, retry after ...`:          budget.OfDomain,
		`too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry ...`: budget.OfName,
		`too many failed authorizations (5) for "a.example.org" in the last 1h0m0s, retry after ...`:                 budget.OfName,
		`too many new orders (300) from this account in the last 3h0m0s, retry after ...`:                            budget.OfAccount,
		`too many new registrations (10) from this IP address in the last 3h0m0s, retry after ...`:                   budget.OfAccount,
		`slow down`: budget.OfName,
	} {
		if got := scopeOf(acme.Problem{Type: acme.ProblemTypeRateLimited, Status: 429, Detail: detail}); got != want {
			t.Errorf("%s: scope %d, want %d", detail, got, want)
		}
	}
	a := &authority{CA: CA{Directory: "https://ca.example/dir"}, ledger: ledger{issuer: "ca"}, purse: newPurse(t.TempDir(), "https://ca.example/dir", budget.Limits{}, 2)}
	refusal := acme.Problem{Type: acme.ProblemTypeRateLimited, Status: 429, Detail: "too many certificates already issued for example.org"}
	one := newTry("a.example.org")
	one.retryAfter = time.Hour
	if err := a.spend(t.Context(), one, order{}, func() error { return refusal }); !errors.As(err, new(acme.Problem)) {
		t.Fatal(err)
	}
	made := false
	err := a.spend(t.Context(), newTry("b.example.org"), order{}, func() error { made = true; return nil })
	var wait *budget.Wait
	if !errors.As(err, &wait) || made || time.Until(wait.Until) < 59*time.Minute || !strings.Contains(wait.Why, "too many certificates") {
		t.Errorf("another name of the domain: %v, asked: %v", err, made)
	}
	if err := a.spend(t.Context(), newTry("b.example.net"), order{}, func() error { return nil }); err != nil {
		t.Errorf("another domain: %v", err)
	}
}

// Each challenge that fails is a failed validation to the CA, and an order.
func TestFailedChallengesAreCounted(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort})
	p.SetA("bad.example.com", "127.0.0.9") // where nobody listens
	log, _ := newLogs(t)
	fast := quick()
	fast.backoff = backoff{base: 10 * time.Millisecond, limit: 10 * time.Millisecond}
	limits := budget.Limits{Failures: budget.Rate{Burst: 5, Per: time.Hour}}
	m, err := newManager(Config{Storage: t.TempDir(), Directory: p.Directory, Roots: p.RootsFile, HTTPPort: f.httpPort, TLSPort: f.tlsPort, Limits: limits, Logger: log}, fast, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.manager.Store(m)
	t.Cleanup(run(t, m))
	m.SetNames(plain("bad.example.com", "good.example.com"))
	await(t, "the other name", valid(m, "good.example.com"))
	await(t, "the end of the budget", func() bool {
		return strings.Contains(m.Status("bad.example.com").LastError, "5 failed checks of bad.example.com in an hour")
	})
	if n := validations(p, "bad.example.com"); n != 4 { // two challenges each time, so that a third time would be too much
		t.Errorf("the CA counts %d failed validations, want 4", n)
	}
	if wait := time.Until(m.Status("bad.example.com").NextTry); wait < 10*time.Minute || wait > 13*time.Minute {
		t.Errorf("the next try is in %v, want 12 min", wait)
	}
}

// validations counts how often p looked whether name is ours.
func validations(p *pebbletest.Pebble, name string) int {
	return strings.Count(p.Log(), fmt.Sprintf("Value:%q", name))
}
