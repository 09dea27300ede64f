package budget

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var letsEncrypt = published["acme-v02.api.letsencrypt.org"]

// clock is one that a test moves.
type clock struct{ now time.Time }

func newLedger(t *testing.T) (*Ledger, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	l := New(filepath.Join(t.TempDir(), "budget"))
	l.now = func() time.Time { return c.now }
	// No power fails here, and to wait for the disk would take minutes; it is also
	// waited for when a file is written over.
	l.write = func(path string, data []byte, perm fs.FileMode) error {
		_ = os.Remove(path) // it may not be there
		return os.WriteFile(path, data, perm)
	}
	return l, c
}

func order(names ...string) Order {
	return Order{CA: "ca.example-directory", Limits: letsEncrypt, Names: names}
}

// must begins o, and ends it with a certificate.
func must(t *testing.T, l *Ledger, o Order) {
	t.Helper()
	if err := l.Begin(o); err != nil {
		t.Fatalf("%v: %v", o.Names, err)
	}
	if err := l.End(o, Outcome{Issued: true}); err != nil {
		t.Fatal(err)
	}
}

// waits wants o to wait, for a reason with words, and returns how long.
func waits(t *testing.T, l *Ledger, o Order, words string) time.Duration {
	t.Helper()
	err := l.Begin(o)
	var w *Wait
	if !errors.As(err, &w) {
		t.Fatalf("%v: %v, want a wait", o.Names, err)
	}
	if !strings.Contains(w.Why, words) {
		t.Errorf("%v: %q, want a reason with %q", o.Names, w.Why, words)
	}
	return w.Until.Sub(l.now())
}

func label(i int) string { return string(rune('a'+i/26)) + string(rune('a'+i%26)) }

func TestCertificatesPerRegisteredDomain(t *testing.T) {
	t.Parallel()
	l, c := newLedger(t)
	for i := range 50 {
		must(t, l, order(label(i)+".example.co.uk"))
	}
	wait := waits(t, l, order("one-more.example.co.uk"), "50 new certificates for example.co.uk in 7 days")
	if wait != 7*24*time.Hour/50 {
		t.Errorf("the 51st waits %v, want 201 min 36 s, as the CA refills", wait)
	}
	must(t, l, order("www.other.co.uk"))
	renewal := order("aa.example.co.uk")
	renewal.Renewal = true
	must(t, l, renewal) // renewals are not limited by the domain
	c.now = c.now.Add(wait)
	must(t, l, order("one-more.example.co.uk"))
	waits(t, l, order("and-one.example.co.uk"), "example.co.uk")
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	o := order("a.example.com", "b.example.com")
	for range 5 {
		must(t, l, o)
	}
	swapped := order("B.example.com", "a.example.com")
	swapped.Renewal = true
	if wait := waits(t, l, swapped, "5 certificates for"); wait != 7*24*time.Hour/5 {
		t.Errorf("it waits %v", wait)
	}
	must(t, l, order("a.example.com"))
	exempt := swapped
	exempt.Exempt = true
	for range 20 {
		must(t, l, exempt)
	}
}

func TestFailedValidations(t *testing.T) {
	t.Parallel()
	l, c := newLedger(t)
	o := order("bad.example.com")
	for i := range 5 {
		if err := l.Begin(o); err != nil {
			t.Fatalf("failure %d: %v", i, err)
		}
		if err := l.End(o, Outcome{Failures: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if wait := waits(t, l, o, "5 failed checks of bad.example.com in an hour"); wait != 12*time.Minute {
		t.Errorf("it waits %v", wait)
	}
	must(t, l, order("good.example.com"))
	if left := l.Left(o); left != 49 {
		t.Errorf("%d certificates left, want 49: failures cost none", left)
	}
	c.now = c.now.Add(12 * time.Minute)
	must(t, l, o)
	if err := l.Begin(o); err != nil { // success gave the place back
		t.Error(err)
	}
}

// With two challenges an order can fail twice, so there must be room for both.
func TestRoomForEveryTry(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	o := order("bad.example.com")
	o.Tries = 2
	for i, failures := range []int{2, 1} {
		if err := l.Begin(o); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if err := l.End(o, Outcome{Failures: failures}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Begin(o); err != nil { // 3 are gone, 2 are left
		t.Fatal(err)
	}
	waits(t, l, o, "failed checks")
}

func TestOrdersOfTheAccount(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	for i := range 300 {
		must(t, l, order("www."+label(i)+".com"))
	}
	if wait := waits(t, l, order("www.last.com"), "300 orders in 3 hours"); wait != 36*time.Second {
		t.Errorf("it waits %v", wait)
	}
	other := order("www.last.com")
	other.CA = "other-ca"
	must(t, l, other)
}

// A process that is killed has counted all that its order could cost.
func TestKilledMeanwhile(t *testing.T) {
	t.Parallel()
	l, c := newLedger(t)
	o := order("a.example.com")
	for i := range 5 {
		fresh := New(l.folder) // a restart
		fresh.now, fresh.write = l.now, l.write
		if err := fresh.Begin(o); err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
	}
	if wait := waits(t, l, o, "CA allows 5"); wait <= time.Hour {
		t.Errorf("it waits %v", wait)
	}
	c.now = c.now.Add(time.Hour)
	waits(t, l, o, "5 certificates for a.example.com in 7 days") // they may have been issued
}

func TestRefusedByTheCA(t *testing.T) {
	t.Parallel()
	for scope, same := range map[Scope][]Order{
		OfName:    {order("a.example.com")},
		OfDomain:  {order("a.example.com"), order("b.example.com")},
		OfAccount: {order("a.example.com"), order("b.example.com"), order("www.example.org")},
	} {
		l, c := newLedger(t)
		if err := l.Refused(order("a.example.com"), scope, c.now.Add(time.Hour), "It said no."); err != nil {
			t.Fatal(err)
		}
		for _, o := range []Order{order("a.example.com"), order("b.example.com"), order("www.example.org")} {
			want := false
			for _, s := range same {
				want = want || s.Names[0] == o.Names[0]
			}
			if !want {
				must(t, l, o)
			} else if wait := waits(t, l, o, "It said no."); wait != time.Hour {
				t.Errorf("scope %d: %v", scope, wait)
			}
		}
		if err := l.Refused(order("a.example.com"), scope, c.now.Add(1000*time.Hour), "Much later."); err != nil {
			t.Fatal(err)
		}
		if wait := waits(t, l, order("a.example.com"), "Much later."); wait != longestWait {
			t.Errorf("it waits %v, want at most %v", wait, longestWait)
		}
		c.now = c.now.Add(longestWait)
		must(t, l, order("a.example.com"))
	}
}

func TestNoLimitsAreNoLimits(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	o := order("a.example.com")
	o.Limits = Limits{}
	for range 100 {
		must(t, l, o)
	}
	if left := l.Left(o); left != -1 {
		t.Errorf("%d left", left)
	}
}

// What a damaged file or a clock that went wrong says must not stop us for long.
func TestOddFiles(t *testing.T) {
	t.Parallel()
	for what, content := range map[string]string{
		"torn":         `{"about": "example.com", "ord`,
		"another's":    `{"about": "example.org", "certificates": "2026-05-08T12:00:00Z"}`,
		"negative":     `{"about": "example.com", "orders": -1}`,
		"far ahead":    `{"about": "example.com", "refused": {"until": "2099-01-01T00:00:00Z", "why": "x"}, "names_refused": {"a.example.com": {"until": "2099-01-01T00:00:00Z", "why": "x"}}}`,
		"of no length": ``,
	} {
		l, _ := newLedger(t)
		folder := filepath.Join(l.folder, "ca.example-directory")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "example.com.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := l.Begin(order("a.example.com")); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	l, c := newLedger(t)
	c.now = c.now.Add(10 * 365 * 24 * time.Hour)
	for i := range 50 {
		must(t, l, order(label(i)+".example.com"))
	}
	c.now = c.now.Add(-10 * 365 * 24 * time.Hour)
	if wait := waits(t, l, order("x.example.com"), "new certificates"); wait > 7*24*time.Hour {
		t.Errorf("after the clock was ten years ahead it waits %v", wait)
	}
}

func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	must(t, l, order("a.example.com"))
	for _, name := range []string{"_account.json", "example.com.json"} {
		info, err := os.Stat(filepath.Join(l.folder, "ca.example-directory", name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

// Old and new process, at a hand-over, have one budget.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	begun := 0
	for p := range 4 {
		wg.Go(func() {
			mine := New(l.folder) // its own mutex, so that only the lock file guards
			mine.now, mine.write = l.now, l.write
			for i := range 25 {
				if mine.Begin(order(label(p*25+i)+".example.com")) == nil {
					mu.Lock()
					begun++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if begun != 50 {
		t.Errorf("%d orders were begun, want 50", begun)
	}
}

// authority counts as Let's Encrypt does, by its own code, for whatever reaches it.
type authority struct{ log map[string][]time.Time }

// full tells whether key was used burst times and each one refills.
func (a *authority) allow(key string, r Rate, now time.Time) bool {
	level, last := 0.0, now
	for i, at := range a.log[key] {
		if i > 0 {
			level = max(0, level-at.Sub(last).Seconds()/r.each().Seconds())
		}
		level++
		last = at
	}
	level = max(0, level-now.Sub(last).Seconds()/r.each().Seconds())
	a.log[key] = append(a.log[key], now)
	return level+1 <= float64(r.Burst)+1e-6
}

// Whatever happens in whatever order, and wherever the process is killed, the
// CA never finds one of its limits broken.
func TestNeverBreaksALimit(t *testing.T) {
	t.Parallel()
	limits := Limits{Orders: Rate{20, time.Hour}, Certificates: Rate{6, 24 * time.Hour}, Duplicates: Rate{3, 24 * time.Hour}, Failures: Rate{4, time.Hour}}
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		l, c := newLedger(t)
		ca := &authority{log: make(map[string][]time.Time)}
		check := func(what, key string, rate Rate) {
			if !ca.allow(what+key, rate, c.now) {
				t.Fatalf("seed %d: the CA's limit of %s for %s is broken", seed, what, key)
			}
		}
		have := make(map[string]bool)
		made := 0
		for range 300 {
			c.now = c.now.Add(time.Duration(r.IntN(40)) * time.Minute)
			name := label(r.IntN(8)) + []string{".example.com", ".example.org"}[r.IntN(2)]
			o := Order{CA: "ca", Limits: limits, Names: []string{name}, Tries: 1 + r.IntN(2), Renewal: have[name]}
			if l.Begin(o) != nil {
				continue
			}
			made++
			fails := r.IntN(o.Tries + 1)
			issued := fails < o.Tries && r.IntN(4) > 0
			for range fails {
				check("orders", "", limits.Orders)
				check("failures", name, limits.Failures)
			}
			if fails < o.Tries {
				check("orders", "", limits.Orders)
			}
			if issued {
				if !have[name] {
					check("certificates", Domain(name), limits.Certificates)
				}
				check("duplicates", name, limits.Duplicates)
			}
			if r.IntN(3) == 0 { // killed, perhaps before the certificate was stored
				continue
			}
			have[name] = have[name] || issued
			if err := l.End(o, Outcome{Issued: issued, Failures: fails}); err != nil {
				t.Fatal(err)
			}
		}
		if made < 20 {
			t.Errorf("seed %d: only %d orders were made", seed, made)
		}
	}
}
