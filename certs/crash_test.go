package certs

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/sync/errgroup"

	"portway/certs/budget"
	"portway/internal/pebbletest"
)

// full tells whether the long variants of tests are to run, as before a release.
func full() bool { return os.Getenv("PORTWAY_TEST_FULL") == "1" }

// roomy are limits which the tests do not reach, so that the account of them is kept.
var roomy = budget.Limits{
	Orders: budget.Rate{Burst: 100000, Per: time.Hour}, Certificates: budget.Rate{Burst: 100000, Per: time.Hour},
	Duplicates: budget.Rate{Burst: 1000, Per: time.Hour}, Failures: budget.Rate{Burst: 1000, Per: time.Hour},
}

// Wherever kill -9 meets issuance and its writes, the next start finds whole files
// and the same account, and orders nothing that it has.
func TestKilledAtAnyPoint(t *testing.T) {
	t.Parallel()
	lives, rounds := 8, 5 // of storages, and kills of each
	if full() {
		lives = 40
	}
	sites := newSites(t, 4)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: sites[0].httpPort, TLSPort: sites[0].tlsPort, BadNonces: 10})
	crash := &crashes{p: p}
	var g errgroup.Group
	for i, s := range sites {
		for life := i; life < lives; life += len(sites) {
			for round := range rounds {
				p.SetA(crashName(life, round), s.ip)
			}
		}
		g.Go(func() error {
			for life := i; life < lives; life += len(sites) {
				if err := crash.live(s, t.TempDir(), life, rounds); err != nil {
					return fmt.Errorf("storage %d: %w", life, err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(p.Log(), "accounts in memory"); n != lives {
		t.Errorf("the CA made %d accounts for %d storages", n, lives)
	}
	t.Logf("FIGURES kill -9 at random points of issuance: %d kills, %d of them before the newest name had its certificate; no torn file, no second order, %d accounts for %d storages; %d orders for %d names",
		crash.kills.Load(), crash.amidst.Load(), strings.Count(p.Log(), "accounts in memory"), lives, p.Orders(), lives*rounds)
}

func crashName(life, round int) string { return fmt.Sprintf("r%d.s%d.example.com", round, life) }

// crashes counts what was done.
type crashes struct {
	p             *pebbletest.Pebble
	kills, amidst atomic.Int32
}

// live is what one storage sees.
func (c *crashes) live(s *site, folder string, life, rounds int) error {
	o := orders{Storage: folder, Limits: roomy}
	before := &contents{}
	asked := make(map[string]int) // how often the CA looked at names that had a certificate
	look := func() error {
		now, err := readContents(folder)
		if err != nil {
			return err
		}
		if err := before.lost(now); err != nil {
			return err
		}
		for name, n := range asked {
			if again := validations(c.p, name); again != n {
				return fmt.Errorf("%s has a valid certificate, and %d more were ordered", name, again-n)
			}
		}
		for name := range now.valid {
			asked[name] = validations(c.p, name)
		}
		before = now
		return nil
	}
	for round := range rounds {
		newest := crashName(life, round)
		o.Names = append(o.Names, newest)
		h, err := s.start(c.p, o)
		if err != nil {
			return err
		}
		time.Sleep(rand.N(700 * time.Millisecond)) // the point of the kill
		h.kill()
		c.kills.Add(1)
		if h.last(newest).State != Valid {
			c.amidst.Add(1)
		}
		if err := look(); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	for range 2 { // the second time all is there, so that nothing is ordered
		h, err := s.start(c.p, o)
		if err != nil {
			return err
		}
		if err := h.await(Valid, o.Names...); err != nil {
			return err
		}
		h.kill()
		if err := look(); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	return nil
}

// contents are what a storage holds.
type contents struct {
	keys  map[string][]byte // of accounts, by file
	valid map[string]bool   // names with a certificate and its key
}

// lost tells what is in c but not in now.
func (c *contents) lost(now *contents) error {
	for file, key := range c.keys {
		if !bytes.Equal(now.keys[file], key) {
			return fmt.Errorf("the account's key %s is lost", file)
		}
	}
	for name := range c.valid {
		if !now.valid[name] {
			return fmt.Errorf("the certificate of %s is lost", name)
		}
	}
	return nil
}

// readContents looks at every file of a storage whose process is dead. The
// error tells of one that is not whole.
func readContents(folder string) (*contents, error) {
	c := &contents{keys: make(map[string][]byte), valid: make(map[string]bool)}
	certs := make(map[string]map[string][]byte) // by folder, then by extension
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		ext := filepath.Ext(path)
		if !strings.Contains(".json.key.crt", ext) || ext == "" || strings.HasPrefix(d.Name(), ".") {
			return nil // locks, and what was to become a file
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch ext {
		case ".json":
			if !json.Valid(data) {
				return fmt.Errorf("%s is torn: %q", path, data)
			}
		case ".key":
			if _, err := certmagic.PEMDecodePrivateKey(data); err != nil {
				return fmt.Errorf("%s is torn: %w", path, err)
			}
			if strings.Contains(path, "/users/") || strings.Contains(path, "account-keys") {
				c.keys[path] = data
			}
		case ".crt":
			if !bytes.Contains(data, []byte("-----END CERTIFICATE-----")) {
				return fmt.Errorf("%s is torn", path)
			}
		}
		if dir := filepath.Dir(path); strings.Contains(dir, "/certificates/") {
			if certs[dir] == nil {
				certs[dir] = make(map[string][]byte)
			}
			certs[dir][ext] = data
		}
		return nil
	})
	for dir, files := range certs {
		if len(files) < 3 {
			continue
		}
		if _, err := tls.X509KeyPair(files[".crt"], files[".key"]); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		c.valid[filepath.Base(dir)] = true
	}
	return c, err
}

// A name that fails, in a process that crashes all the time, costs no more than
// the CA allows, even if the name's own pauses were of milliseconds.
func TestCrashLoopKeepsTheLimits(t *testing.T) {
	t.Parallel()
	const bad = "bad.example.com"
	limits := budget.Limits{
		Orders: budget.Rate{Burst: 300, Per: 3 * time.Hour}, Certificates: budget.Rate{Burst: 50, Per: 7 * 24 * time.Hour},
		Duplicates: budget.Rate{Burst: 5, Per: 7 * 24 * time.Hour}, Failures: budget.Rate{Burst: 5, Per: time.Hour},
	}
	for _, c := range []struct {
		name     string
		patient  bool
		restarts int
	}{{"by the limits alone", false, 100}, {"as Portway pauses", true, 15}} {
		if full() {
			c.restarts = 100
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSites(t, 1)[0]
			p := pebbletest.Start(t, pebbletest.Options{HTTPPort: s.httpPort, TLSPort: s.tlsPort})
			p.SetA(bad, "127.0.0.9") // where nobody listens
			o := orders{Storage: t.TempDir(), Limits: limits, Names: []string{bad}, Patient: c.patient}
			began := time.Now()
			for i := range c.restarts + 1 {
				h, err := s.start(p, o)
				if err == nil && i == 0 { // so that what follows is not about the account
					err = h.await(Failed, bad)
				}
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(rand.N(200 * time.Millisecond)) // the point of the crash
				h.kill()
			}
			took := time.Since(began)
			if !c.patient {
				h, err := s.start(p, o)
				if err == nil {
					err = h.eventually("told that it waits", func() bool { return time.Until(h.last(bad).NextTry) > time.Minute })
				}
				if err != nil {
					t.Fatal(err)
				}
				h.kill()
			}
			// Within the time that it takes, the limit refills.
			allowed := 5 + int(took/(12*time.Minute))
			if n := validations(p, bad); n > allowed {
				t.Errorf("%d failed validations, and the CA allows %d", n, allowed)
			}
			if n := p.Orders(); n > allowed || n == 0 {
				t.Errorf("%d orders, want some and at most %d", n, allowed)
			}
			t.Logf("FIGURES a crash loop, %s: %d restarts in %v with a failing name made %d orders, %d validations (5 failures an hour are allowed)",
				c.name, c.restarts, took.Round(time.Second), p.Orders(), validations(p, bad))
		})
	}
}
