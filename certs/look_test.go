package certs

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portway/certs/preflight"
	"portway/internal/pebbletest"
)

// What is certain to fail is not ordered, is told in a sentence, and is ordered as
// soon as it is mended.
func TestPreflightSavesOrders(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort})
	p.SetCAA("example.com", "other.example")
	log, l := newLogs(t)
	fast := quick()
	fast.backoff = backoff{base: 50 * time.Millisecond, limit: 50 * time.Millisecond}
	m, err := newManager(Config{
		Storage: t.TempDir(), Directory: p.Directory, Roots: p.RootsFile, HTTPPort: f.httpPort, TLSPort: f.tlsPort,
		Preflight: preflight.New([]string{p.Resolver()}), PreflightAll: true, ReachPort: f.httpPort, ReachTLSPort: f.tlsPort, Logger: log,
	}, fast, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.manager.Store(m)
	t.Cleanup(run(t, m))
	m.SetNames(plain("www.example.com", "www.example.org"))
	await(t, "the other domain", valid(m, "www.example.org"))
	await(t, "some tries", func() bool { return m.Status("www.example.com").Attempts > 3 })
	if s := m.Status("www.example.com"); !strings.HasPrefix(s.LastError, "The CAA record of example.com forbids this CA to certify www.example.com.") {
		t.Errorf("%+v", s)
	}
	if n := p.Orders(); n != 1 {
		t.Errorf("%d orders, want that of the other domain only", n)
	}
	// The front is no Portway, so its port is told of, once.
	if n := len(l.lines("level=WARN", "name=www.example.org", "something else than Portway answers")); n != 1 {
		t.Errorf("%d warnings", n)
	}
	p.SetCAA("example.com", "pebble.letsencrypt.org")
	await(t, "the certificate", valid(m, "www.example.com"))
}

// fakeDNS is a checker that finds an address once there is one.
type fakeDNS struct {
	exists atomic.Bool
	looks  atomic.Int32
}

func (d *fakeDNS) Check(_ context.Context, t preflight.Target) preflight.Result {
	d.looks.Add(1)
	if d.exists.Load() {
		return preflight.Result{}
	}
	return preflight.Result{Fatal: "There is no name " + t.Name + ".", Missing: true}
}

// Whoever makes a DNS record late does not wait for hours, also where tries have failed
// before, and after restarts.
func TestMissingNamesAreLookedUpSoon(t *testing.T) {
	t.Parallel()
	folder, ca := t.TempDir(), newFakeCA(t, ninetyDays)
	dns := new(fakeDNS)
	begin := func(t *testing.T) (*Manager, func(), *logs) {
		log, l := newLogs(t)
		m, err := newManager(Config{Storage: folder, Directory: "https://ca.example/dir", PreflightAll: true, Logger: log}, defaultTiming(), ca.issuer)
		if err != nil {
			t.Fatal(err)
		}
		m.preflight = dns
		stop := run(t, m)
		m.SetNames(plain("a.com"))
		return m, stop, l
	}
	inBubble(t, func(t *testing.T) {
		m, stop, l := begin(t)
		time.Sleep(24 * time.Hour)
		if s := m.Status("a.com"); s.State != Failed || s.Attempts != 1 || s.LastError != "There is no name a.com." || time.Until(s.NextTry) > 6*time.Minute {
			t.Errorf("status: %+v", s)
		}
		if n := dns.looks.Load(); n < 24*60/6 || n > 24*60/5+5 {
			t.Errorf("%d looks in a day, want one each 5 minutes", n)
		}
		if n := len(l.lines("level=ERROR", "There is no name a.com.", "again_every=5m0s")); n != 1 || len(l.lines("level=ERROR")) != n {
			t.Errorf("%d lines in the log about what did not change", n)
		}
		stop()
		m, stop, _ = begin(t)
		dns.exists.Store(true)
		time.Sleep(6 * time.Minute)
		if s := m.Status("a.com"); s.State != Valid || s.Attempts != 0 || s.LastError != "" {
			t.Errorf("with a DNS record: %+v", s)
		}
		stop()
		synctest.Wait()
	})
	if n := len(ca.tries("a.com")); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// Failures that were the CA's judgement are not forgotten while the name has no address.
func TestFailuresOutlastAMissingName(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	r := record{Name: "a.com", Attempts: 4, LastTry: begin, NextTry: begin.Add(8 * time.Minute), Error: "no", Elsewhere: true}
	r = r.absent("a.com", begin, begin.Add(time.Minute), "none")
	if r.Attempts != 4 || r.Error != "none" || r.Elsewhere || !r.NextTry.Equal(begin.Add(time.Minute)) {
		t.Errorf("%+v", r)
	}
}

// The challenge that arrives is the only one that the first order tries.
func TestChallengeByWhatArrives(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		found preflight.Result
		want  string
	}{
		{preflight.Result{}, "http-01,tls-alpn-01"},
		{preflight.Result{HTTP: preflight.Here, TLS: preflight.Here}, "http-01,tls-alpn-01"},
		{preflight.Result{HTTP: preflight.NotHere, TLS: preflight.NotHere}, "http-01,tls-alpn-01"},
		{preflight.Result{HTTP: preflight.Here, TLS: preflight.NotHere}, "http-01"},
		{preflight.Result{HTTP: preflight.NotHere, TLS: preflight.Here}, "tls-alpn-01"},
		{preflight.Result{HTTP: preflight.Here}, "http-01,tls-alpn-01"}, // the other one was not looked at
	} {
		both := way{challenges: newProver(Config{}).arrive}
		if got := strings.Join(both.where(c.found).challenges, ","); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.found, got, c.want)
		}
		if len(both.challenges) != 2 {
			t.Error("it is forgotten for the next try")
		}
	}
}

// Where one port leads elsewhere, the first order is by the other one, and succeeds; the
// failed challenge of a guess would count at the CA.
func TestFirstOrderIsByThePortThatIsOpen(t *testing.T) {
	t.Parallel()
	for _, byTLS := range []bool{false, true} {
		f := newFront(t)
		opts := pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.deadPort}
		if byTLS {
			opts = pebbletest.Options{HTTPPort: f.deadPort, TLSPort: f.tlsPort}
		}
		p := pebbletest.Start(t, opts)
		check := preflight.New([]string{p.Resolver()})
		f.aside.Store(check)
		m, err := newManager(Config{
			Storage: t.TempDir(), Directory: p.Directory, Roots: p.RootsFile, HTTPPort: f.httpPort, TLSPort: f.tlsPort,
			Preflight: check, PreflightAll: true, ReachPort: opts.HTTPPort, ReachTLSPort: opts.TLSPort, Logger: slog.New(slog.DiscardHandler),
		}, quick(), nil)
		if err != nil {
			t.Fatal(err)
		}
		f.manager.Store(m)
		stop := run(t, m)
		for _, name := range []string{"a.example.com", "b.example.com", "c.example.com", "d.example.com"} { // a guess would fail once
			m.SetNames(plain(name))
			await(t, "a certificate", valid(m, name))
			if want := map[bool]string{false: "http-01", true: "tls-alpn-01"}[byTLS]; m.Status(name).Challenge != want {
				t.Errorf("%s: by %s, want %s", name, m.Status(name).Challenge, want)
			}
		}
		if n := p.Orders(); n != 4 {
			t.Errorf("%d orders, want 4: no challenge fails", n)
		}
		stop()
	}
}
