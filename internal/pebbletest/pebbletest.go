// Package pebbletest runs Pebble, Let's Encrypt's small ACME server, and its
// DNS mock as processes for tests.
package pebbletest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"portway/internal/freeport"
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
	// DNS is the server (host:port) that Pebble resolves by; empty: one of its own, to
	// which Address and SetA belong.
	DNS string
	// Validity of certificates, in whole seconds; 0: 90 days.
	Validity time.Duration
	// BadNonces is the share of good nonces that are refused, in percent.
	BadNonces int
	// Yielding makes Pebble leave the processors to others, as a CA on a machine of its
	// own would, for tests that measure.
	Yielding bool
	// Blocked are domains that are refused with rejectedIdentifier.
	Blocked []string
	// EAB are keys, base64 by their ids, one of which each account must be bound to;
	// empty: accounts need nothing.
	EAB map[string]string
	// Profiles that can be asked for besides "default", with their validity.
	Profiles map[string]time.Duration
	// AlternateRoots is how many chains are offered besides the first.
	AlternateRoots int
	// Slow makes challenges wait for up to 2 seconds, and clients poll orders every
	// second.
	Slow bool
	// OCSP is the URL of the responder that certificates name; may be empty.
	OCSP string
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
	if opts.DNS == "" {
		p.dns = startDNS(t, opts.Address)
		p.opts.DNS = p.dns.addr
	}
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
	begin := start
	if p.opts.Yielding {
		begin = startYielding
	}
	p.proc = begin(p.t, "pebble", earlier,
		[]string{"-config", file, "-dnsserver", p.opts.DNS},
		p.sleep(),
		"PEBBLE_AUTHZREUSE=0",
		"PEBBLE_ALTERNATE_ROOTS="+strconv.Itoa(p.opts.AlternateRoots),
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

func (p *Pebble) sleep() string {
	if p.opts.Slow {
		return "PEBBLE_VA_SLEEPTIME=2"
	}
	return "PEBBLE_VA_NOSLEEP=1"
}

// Roots returns what certificates of this Pebble chain to. Each start of Pebble has a new root.
func (p *Pebble) Roots() *x509.CertPool {
	p.t.Helper()
	return p.RootsOf(0)
}

// RootsOf returns the root of one of the chains, 0 being the first.
func (p *Pebble) RootsOf(chain int) *x509.CertPool {
	p.t.Helper()
	body := p.Root(chain)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(body) {
		p.t.Fatalf("no root in %q", body)
	}
	return pool
}

// Root returns the root of one of the chains in PEM.
func (p *Pebble) Root(chain int) []byte {
	p.t.Helper()
	body, err := p.get("https://" + p.manage + "/roots/" + strconv.Itoa(chain))
	if err != nil {
		p.t.Fatal(err)
	}
	return body
}

// SuggestRenewal makes Pebble suggest that cert, in DER, is renewed in a window.
func (p *Pebble) SuggestRenewal(cert []byte, from, until time.Time) {
	p.t.Helper()
	window, err := json.Marshal(map[string]any{"suggestedWindow": map[string]any{"start": from, "end": until}})
	if err != nil {
		p.t.Fatal(err)
	}
	request, err := json.Marshal(map[string]string{
		"Certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), "ARIResponse": string(window),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := p.client.Post("https://"+p.manage+"/set-renewal-info/", "application/json", bytes.NewReader(request))
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("Pebble takes no suggestion: %s", resp.Status)
	}
}

// Status tells what Pebble says about the certificate with a serial number: "Valid"
// or "Revoked".
func (p *Pebble) Status(serial string) string {
	p.t.Helper()
	body, err := p.get("https://" + p.manage + "/cert-status-by-serial/" + serial)
	if err != nil {
		p.t.Fatal(err)
	}
	var answer struct{ Status string }
	if err := json.Unmarshal(body, &answer); err != nil {
		p.t.Fatal(err)
	}
	return answer.Status
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
	profiles := map[string]any{"default": profile("default", p.opts.Validity)}
	for name, validity := range p.opts.Profiles {
		profiles[name] = profile(name, validity)
	}
	wait := 0
	if p.opts.Slow {
		wait = 1
	}
	data, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress":           p.listen,
		"managementListenAddress": p.manage,
		"certificate":             filepath.Join(p.dir, "cert.pem"),
		"privateKey":              filepath.Join(p.dir, "key.pem"),
		"httpPort":                p.opts.HTTPPort,
		"tlsPort":                 p.opts.TLSPort,
		"domainBlocklist":         p.opts.Blocked,
		"keyAlgorithm":            "ecdsa",
		"ocspResponderURL":        p.opts.OCSP,
		"profiles":                profiles,
		"retryAfter":              map[string]int{"authz": wait, "order": wait},

		"externalAccountBindingRequired": len(p.opts.EAB) > 0,
		"externalAccountMACKeys":         p.opts.EAB,
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

func profile(name string, validity time.Duration) map[string]any {
	return map[string]any{"description": name, "validityPeriod": int(validity / time.Second)}
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

// freeAddress is an address at host for a program that is about to start.
func freeAddress(t testing.TB, host string) string {
	t.Helper()
	address, err := freeport.On(host)
	if err != nil {
		t.Fatal(err)
	}
	return address
}
