// Package preflight looks, before a CA is asked for a name's first certificate,
// whether that can work: whether the DNS leads here, whether it allows the CA, and
// whether the clock is right. What is certain to fail is not tried; what only looks
// odd is told, since much of it cannot be known from inside.
package preflight

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Path is where Handler answers, over plain HTTP and HTTPS, whatever the host.
const Path = "/.well-known/portway/reach"

// Checker looks at names. Its methods may be called from any goroutine.
type Checker struct {
	resolvers []string
	http      *http.Client
	token     string // tells this process from others

	mu  sync.Mutex
	cas map[string]caFacts // by directory
}

// New returns a Checker that asks resolvers (host or host:port); none: the system's.
func New(resolvers []string) *Checker {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	c := &Checker{token: "portway " + hex.EncodeToString(nonce), cas: make(map[string]caFacts)}
	if len(resolvers) == 0 {
		if conf, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil {
			for _, server := range conf.Servers {
				resolvers = append(resolvers, net.JoinHostPort(server, conf.Port))
			}
		}
	}
	for _, r := range resolvers {
		if _, _, err := net.SplitHostPort(r); err != nil {
			r = net.JoinHostPort(strings.Trim(r, "[]"), "53")
		}
		c.resolvers = append(c.resolvers, r)
	}
	c.http = &http.Client{
		Timeout:       5 * time.Second,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Handler answers requests for Path, by which a Checker knows its own process.
func (c *Checker) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte(c.token)) // the client has gone: nobody is left to be told
	})
}

// Target is what is to be certified, by whom.
type Target struct {
	Name      string // a host name, or a wildcard
	Directory string // of the CA
	Roots     *x509.CertPool
	Port      int  // where the CA would look for us by HTTP; 0: 80; negative: it would not
	TLSPort   int  // the same by TLS; 0: 443
	ByDNS     bool // the CA looks at the DNS only (DNS-01)
}

// Result is what was found. Each is a sentence or two.
type Result struct {
	Fatal    string   // why it cannot work; empty: it may
	Missing  bool     // that is for want of an address in the DNS, which may come at any moment
	Warnings []string // what looks odd
	HTTP     Reach    // whether HTTP-01 can arrive
	TLS      Reach    // whether TLS-ALPN-01 can
}

func (r *Result) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Check looks at one name. It takes some seconds at most.
func (c *Checker) Check(ctx context.Context, t Target) Result {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var r Result
	ca := c.askCA(ctx, t)
	if ca.clock != "" {
		r.Warnings = append(r.Warnings, ca.clock)
	}
	if !t.ByDNS {
		c.checkAddresses(ctx, t, &r)
	}
	if r.Fatal == "" && len(ca.identities) > 0 {
		c.checkCAA(ctx, t.Name, ca.identities, &r)
	}
	return r
}

func (c *Checker) checkAddresses(ctx context.Context, t Target, r *Result) {
	addresses, code, err := c.addresses(ctx, t.Name)
	switch {
	case err != nil:
		r.warn("The DNS of %s cannot be looked up from here (%v), so that nothing can be said about it.", t.Name, err)
		return
	case code == dns.RcodeNameError:
		r.Fatal = fmt.Sprintf("There is no name %s in the DNS (NXDOMAIN). Create a DNS record (A, AAAA) for it that points to this machine.", t.Name)
		r.Missing = true
		return
	case code != dns.RcodeSuccess:
		r.warn("The DNS server answers %s for %s: the CA may get no better answer.", dns.RcodeToString[code], t.Name)
		return
	case len(addresses) == 0:
		r.Fatal = fmt.Sprintf("%s has no address in the DNS. Create a DNS record (A, AAAA) for it that points to this machine.", t.Name)
		r.Missing = true
		return
	}
	c.reach(ctx, t, addresses, r)
}

// Lookup gives the addresses that the DNS has for a name. exists is false if there is no such
// name; an error means that nothing is known.
func (c *Checker) Lookup(ctx context.Context, name string) (all []netip.Addr, exists bool, err error) {
	texts, code, err := c.addresses(ctx, name)
	switch {
	case err != nil:
		return nil, false, err
	case code == dns.RcodeNameError:
		return nil, false, nil
	case code != dns.RcodeSuccess && len(texts) == 0:
		return nil, false, fmt.Errorf("the DNS server answers %s", dns.RcodeToString[code])
	}
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, a)
		}
	}
	return all, true, nil
}
