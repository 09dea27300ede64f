package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// asked is an application that says which hosts it serves.
type asked struct {
	*httptest.Server
	questions atomic.Int32
	status    atomic.Int32 // of answers about hosts that begin with "good"
}

func newAsked(t *testing.T) *asked {
	t.Helper()
	a := new(asked)
	a.status.Store(http.StatusOK)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.questions.Add(1)
		if r.URL.Query().Get("token") != "1" {
			t.Errorf("asked for %s", r.URL)
		}
		if host := r.URL.Query().Get("domain"); strings.HasPrefix(host, "good") {
			w.WriteHeader(int(a.status.Load()))
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *asked) rule(hosts string) Name {
	return Name{hosts, Wishes{OnDemand: OnDemand{Ask: a.URL + "/check?token=1"}}}
}

// The first visitor waits for the certificate, and so does everybody who comes
// meanwhile; the application is asked once.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	ca, a, folder := newFakeCA(t, ninetyDays), newAsked(t), t.TempDir()
	m, stop, _ := manageAt(t, folder, ca, quick())
	m.SetNames([]Name{a.rule("~.+"), {Name: "known.com"}})
	await(t, "the name that is known", valid(m, "known.com"))
	var visitors sync.WaitGroup
	for range 20 {
		visitors.Go(func() {
			cert, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: "Good.com"})
			if err != nil || cert == nil || cert.Leaf.CheckSignatureFrom(ca.root) != nil {
				t.Errorf("a visitor has %v, %v", cert, err)
			}
		})
	}
	visitors.Wait()
	if n, orders := a.questions.Load(), len(ca.tries("good.com")); n != 1 || orders != 1 {
		t.Errorf("%d questions and %d orders, want 1 each", n, orders)
	}
	if s := m.Status("good.com"); s.State != Valid || !s.OnDemand || m.Status("known.com").OnDemand {
		t.Errorf("status: %+v", s)
	}
	// Other rules for the same host, and other names, change nothing.
	m.SetNames([]Name{a.rule("~.+"), {Name: "other.com"}})
	if s := m.Status("good.com"); s.State != Valid {
		t.Errorf("after another table: %+v", s)
	}
	stop()

	// After a restart, the application is asked, and the storage has the rest.
	m, stop, _ = manageAt(t, folder, ca, quick())
	defer stop()
	m.SetNames([]Name{a.rule("~.+"), {Name: "known.com"}})
	await(t, "the name that is known", valid(m, "known.com")) // so it runs
	m.guests.rate = bucket{every: time.Hour}                  // nothing new is let through
	if cert, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: "good-too.com"}); cert != nil || err != nil {
		t.Errorf("a new host: %v, %v", cert, err)
	}
	if _, err := handshake(t, m, "good.com"); err != nil {
		t.Error(err)
	}
	if n, orders := a.questions.Load(), len(ca.tries("good.com")); n != 3 || orders != 1 {
		t.Errorf("after a restart: %d questions and %d orders, want 3 and 1", n, orders)
	}
	m.SetNames(nil)
	if s := m.Status("good.com"); s.State != Unknown {
		t.Errorf("without the rule: %+v", s)
	}
}

// Whatever strangers send, there is no order for it, and few questions.
func TestOnDemandRefuses(t *testing.T) {
	t.Parallel()
	ca, a := newFakeCA(t, ninetyDays), newAsked(t)
	m, stop, l := manageAt(t, t.TempDir(), ca, quick())
	defer stop()
	m.SetNames([]Name{a.rule("~.*good.*|bad[.]com"), {"~.+[.]example[.]com", Wishes{}}, {"*.wild.com", Wishes{OnDemand: OnDemand{Allow: "[a-z]+[.]wild[.]com", Ask: a.URL + "?token=1"}}}})
	for _, name := range []string{
		"bad.com", "bad.com", "a.example.com", "good", "good..com", "good_x.com", "good.com:443", "good\x00.com", "-good.com", strings.Repeat("good.", 60) + "com",
		"g1.wild.com", "nobody.wild.com", "a.good.wild.com.other.com", "203.0.113.9",
	} {
		if cert, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: name}); cert != nil || err != nil {
			t.Errorf("%q: got %v, %v, want nothing", name, cert, err)
		}
	}
	if n := a.questions.Load(); n != 3 { // about bad.com, nobody.wild.com and a.good.wild.com.other.com
		t.Errorf("%d questions", n)
	}
	a.status.Store(http.StatusInternalServerError)
	if cert, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: "good.com"}); cert != nil || err != nil {
		t.Errorf("while nobody can be asked: %v, %v", cert, err)
	}
	_, _ = m.GetCertificate(&tls.ClientHelloInfo{ServerName: "good-2.com"}) // of the same minute: not told
	a.Close()
	m.guests.tell.lines = nil
	_, _ = m.GetCertificate(&tls.ClientHelloInfo{ServerName: "good-too.com"})
	if told := l.lines("cannot be asked", "/check"); len(told) != 2 || strings.Contains(strings.Join(told, ""), "token") {
		t.Errorf("the log has the token, or not both: %q", told)
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if len(ca.orders) != 0 {
		t.Errorf("orders: %v", ca.orders)
	}
}

// A visitor who goes away while the application is asked does not keep others out.
func TestVisitorOnDemandGoesAway(t *testing.T) {
	t.Parallel()
	ca, a := newFakeCA(t, ninetyDays), newAsked(t)
	m, stop, _ := manageAt(t, t.TempDir(), ca, quick())
	defer stop()
	m.SetNames([]Name{a.rule("~.+"), {Name: "known.com"}})
	await(t, "the name that is known", valid(m, "known.com"))
	gone, leave := context.WithCancel(t.Context())
	leave()
	if m.demand(gone, m.names.Load(), "good.com") == nil {
		t.Error("the host is refused")
	}
}

func TestOnDemandIsSlow(t *testing.T) {
	t.Parallel()
	ca, a := newFakeCA(t, ninetyDays), newAsked(t)
	ca.refuse(func(context.Context, string) error { return errFake })
	m, stop, _ := manageAt(t, t.TempDir(), ca, quick())
	defer stop()
	m.SetNames([]Name{a.rule("~.+")})
	var visitors sync.WaitGroup
	for i := range 10 * guestBurst {
		visitors.Go(func() { _, _ = m.GetCertificate(&tls.ClientHelloInfo{ServerName: fmt.Sprintf("good%d.com", i)}) })
	}
	visitors.Wait()
	ca.mu.Lock()
	names := len(ca.orders)
	ca.mu.Unlock()
	if names > guestBurst+10 { // some more on a machine that took long
		t.Errorf("orders for %d names at once, want about %d", names, guestBurst)
	}
	// Those that fail are forgotten.
	await(t, "that hopeless hosts are dropped", func() bool { return len(m.All()) == 0 })
	before := a.questions.Load()
	ca.mu.Lock()
	var hopeless string
	for name := range ca.orders {
		hopeless = name
	}
	ca.mu.Unlock()
	if cert, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: hopeless}); cert != nil || err != nil || a.questions.Load() != before {
		t.Errorf("a hopeless host: %v, %v", cert, err)
	}
}

// Before a certificate is renewed, the application is asked again.
func TestOnDemandRenewal(t *testing.T) {
	t.Parallel()
	ca, folder := newFakeCA(t, ninetyDays), t.TempDir()
	inBubble(t, func(t *testing.T) {
		m, stop, _ := manage(t, folder, ca)
		defer stop()
		m.SetNames([]Name{{"~.+", Wishes{OnDemand: OnDemand{Allow: ".+[.]com"}}}})
		time.Sleep(time.Second)
		visit := func(name string) { _, _ = m.GetCertificate(&tls.ClientHelloInfo{ServerName: name}) }
		for _, name := range []string{"used.com", "unused.com"} {
			visit(name)
		}
		for range 70 {
			time.Sleep(24 * time.Hour)
			visit("used.com")
		}
		if used, unused := len(ca.tries("used.com")), len(ca.tries("unused.com")); used != 2 || unused != 1 {
			t.Errorf("orders: %d for a host with visitors, %d for one without; want 2 and 1", used, unused)
		}
		if s := m.Status("unused.com"); s.State != Unknown {
			t.Errorf("status: %+v", s)
		}
		visit("unused.com") // there is a certificate still
		if s := m.Status("unused.com"); s.State != Valid {
			t.Errorf("status: %+v", s)
		}
	})
}

func FuzzPlausible(f *testing.F) {
	for _, host := range []string{"a.com", "", ".", "a..b", "-a.com", "xn--bcher-kva.example", "1.2.3.4", "a_b.com", "*.a.com"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if plausible(host) && (strings.ContainsAny(host, "/\\*_ %?#@:\x00") || !strings.Contains(host, ".") || host != strings.ToLower(host)) {
			t.Errorf("%q is plausible", host)
		}
	})
}
