// Package pebbletest runs Pebble, Let's Encrypt's small ACME server, and its
// DNS mock as processes for tests.
package pebbletest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Options say how Pebble behaves. The zero value is an honest CA.
type Options struct {
	// Bind is the IP address to listen on, which Directory names too; empty:
	// 127.0.0.1. Containers need the address of their network's gateway.
	Bind string
	// HTTPPort and TLSPort are where challenges are sent, at the address that
	// the name resolves to.
	HTTPPort, TLSPort int
	// Address is what every name resolves to unless SetA says otherwise; empty: 127.0.0.1.
	Address string
	// Validity of certificates, in whole seconds; 0: 90 days.
	Validity time.Duration
	// BadNonces is the share of good nonces that are refused, in percent.
	BadNonces int
	// Blocked are domains that are refused with rejectedIdentifier.
	Blocked []string
}

// Pebble is a running CA.
type Pebble struct {
	Directory string // URL of the ACME directory
	RootsFile string // PEM file of the root that signed the certificate of Directory

	t      testing.TB
	opts   Options
	dir    string // configuration and keys
	listen string // host:port of the directory
	manage string // host:port of Pebble's management interface
	dns    *dnsMock
	proc   *process
	client *http.Client
}

// Start runs a Pebble until the test ends. The test is skipped if the programs
// cannot be had, or fails if CI or PORTWAY_TEST_REQUIRE=1 is in the environment.
func Start(t testing.TB, opts Options) *Pebble {
	t.Helper()
	if opts.Bind == "" {
		opts.Bind = "127.0.0.1"
	}
	if opts.Address == "" {
		opts.Address = "127.0.0.1"
	}
	p := &Pebble{t: t, opts: opts, dir: t.TempDir()}
	pool := writeCertificates(t, p.dir, opts.Bind)
	p.RootsFile = filepath.Join(p.dir, "roots.pem")
	p.client = &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true},
	}
	p.dns = startDNS(t, opts.Address)
	retry(t, func() error {
		p.listen, p.manage = freeAddress(t, opts.Bind), freeAddress(t, opts.Bind)
		return p.up()
	})
	p.Directory = "https://" + p.listen + "/dir"
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Pebble's log:\n%s", p.proc.log.tail(16<<10))
		}
		p.Down()
	})
	return p
}

// Down stops Pebble as a crash would. All that it knew is forgotten: accounts,
// orders, and the root that it issues from.
func (p *Pebble) Down() {
	p.t.Helper()
	p.proc.kill()
}

// Up starts Pebble again at the same address after Down.
func (p *Pebble) Up() {
	p.t.Helper()
	retry(p.t, p.up)
}

func (p *Pebble) up() error {
	file := filepath.Join(p.dir, "pebble.json")
	if err := os.WriteFile(file, p.config(), 0o600); err != nil {
		return err
	}
	var earlier *logBuffer
	if p.proc != nil {
		earlier = p.proc.log
	}
	p.proc = start(p.t, "pebble", earlier,
		[]string{"-config", file, "-dnsserver", p.dns.addr},
		"PEBBLE_VA_NOSLEEP=1",
		"PEBBLE_AUTHZREUSE=0",
		"PEBBLE_WFE_NONCEREJECT="+strconv.Itoa(p.opts.BadNonces),
	)
	return p.proc.await(func() error {
		_, err := p.get("https://" + p.listen + "/dir")
		if err == nil {
			_, err = p.get("https://" + p.manage + "/roots/0")
		}
		return err
	})
}

// Roots returns what certificates of this Pebble chain to. Each start of Pebble has a new root.
func (p *Pebble) Roots() *x509.CertPool {
	p.t.Helper()
	body, err := p.get("https://" + p.manage + "/roots/0")
	if err != nil {
		p.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(body) {
		p.t.Fatalf("no root in %q", body)
	}
	return pool
}

// Orders counts the orders made so far, over all starts of Pebble.
func (p *Pebble) Orders() int { return p.proc.log.count("Added order ") }

// Log returns what Pebble wrote so far, over all its starts.
func (p *Pebble) Log() string { return p.proc.log.tail(1 << 30) }

// SetA makes name resolve to addresses.
func (p *Pebble) SetA(name string, addresses ...string) {
	p.t.Helper()
	p.dns.post("add-a", map[string]any{"host": name + ".", "addresses": addresses})
}

// ClearA undoes SetA.
func (p *Pebble) ClearA(name string) {
	p.t.Helper()
	p.dns.post("clear-a", map[string]any{"host": name + "."})
}

// SetAddress changes what names resolve to that SetA was not called for.
func (p *Pebble) SetAddress(address string) {
	p.t.Helper()
	p.dns.post("set-default-ipv4", map[string]any{"ip": address})
}

func (p *Pebble) config() []byte {
	data, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress":           p.listen,
		"managementListenAddress": p.manage,
		"certificate":             filepath.Join(p.dir, "cert.pem"),
		"privateKey":              filepath.Join(p.dir, "key.pem"),
		"httpPort":                p.opts.HTTPPort,
		"tlsPort":                 p.opts.TLSPort,
		"domainBlocklist":         p.opts.Blocked,
		"keyAlgorithm":            "ecdsa",
		"profiles": map[string]any{"default": map[string]any{
			"description":    "default",
			"validityPeriod": int(p.opts.Validity / time.Second),
		}},
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

func (p *Pebble) get(url string) ([]byte, error) {
	resp, err := p.client.Get(url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}

// freeAddress returns host:port with a port that nobody listens on just now,
// on TCP nor UDP.
func freeAddress(t testing.TB, host string) string {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp", addr)
		_ = l.Close()
		if err != nil {
			continue
		}
		_ = u.Close()
		return addr
	}
	t.Fatalf("no free port at %s", host)
	return ""
}
