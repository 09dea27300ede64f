package certs

import (
	"strings"
	"testing"
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
		Preflight: preflight.New([]string{p.Resolver()}), PreflightAll: true, ReachPort: f.httpPort, Logger: log,
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
