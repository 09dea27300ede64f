package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/go-acme/lego/v5/challenge/dns01"
	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// queryLimit is how long one server may take to answer.
const queryLimit = 3 * time.Second

// resolver asks DNS servers.
type resolver struct{ servers []string } // host:port

func newResolver(servers []string) *resolver {
	r := new(resolver)
	if len(servers) == 0 {
		if system, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil {
			servers = system.Servers
		}
	}
	if len(servers) == 0 { // as the C library does
		servers = []string{"127.0.0.1"}
	}
	for _, s := range servers {
		if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			s = net.JoinHostPort(addr.String(), "53")
		} else if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(s, "53")
		}
		r.servers = append(r.servers, s)
	}
	return r
}

// await returns once the record is seen where check says, or tells what was missing
// when limit was over.
func (r *resolver) await(ctx context.Context, check Check, fqdn, value string, limit, interval time.Duration) error {
	if check == None {
		return nil
	}
	end := time.Now().Add(limit)
	for {
		err := r.look(ctx, check, fqdn, value)
		if err == nil || time.Now().Add(interval).After(end) {
			return err
		}
		if stop := sleep(ctx, interval); stop != nil {
			return err
		}
	}
}

// look tells what is missing just now.
func (r *resolver) look(ctx context.Context, check Check, fqdn, value string) error {
	var servers []server
	if check == Resolvers {
		for _, addr := range r.servers {
			servers = append(servers, server{name: addr, addresses: []string{addr}, recurse: true})
		}
	} else {
		var err error
		if servers, err = r.authoritative(ctx, fqdn); err != nil {
			return err
		}
	}
	results := make([]error, len(servers))
	var g errgroup.Group
	for i, s := range servers {
		g.Go(func() error {
			results[i] = s.has(ctx, fqdn, value)
			return nil
		})
	}
	_ = g.Wait() // results has them
	silent := 0
	for _, err := range results {
		switch {
		case errors.Is(err, errSilent): // the CA cannot ask it either, or only this machine cannot
			silent++
		case err != nil:
			return err
		}
	}
	if silent == len(servers) {
		return fmt.Errorf("none of the DNS servers of %s answers: %w", fqdn, errors.Join(results...))
	}
	return nil
}

// server is one that should have the record.
type server struct {
	name      string
	addresses []string // host:port
	recurse   bool     // it is a resolver
}

// authoritative finds the servers of the zone that fqdn is in.
func (r *resolver) authoritative(ctx context.Context, fqdn string) ([]server, error) {
	zone, err := dns01.DefaultClient().FindZoneByFqdn(ctx, fqdn)
	if err != nil {
		return nil, fmt.Errorf("the zone of %s cannot be found: %w", fqdn, err)
	}
	reply, err := r.ask(ctx, zone, dns.TypeNS)
	if err != nil {
		return nil, fmt.Errorf("the servers of %s cannot be found: %w", zone, err)
	}
	var servers []server
	for _, rr := range reply.Answer {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		s := server{name: ns.Ns}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			reply, err := r.ask(ctx, ns.Ns, kind)
			if err != nil {
				continue // a server without an address is silent
			}
			s.addresses = append(s.addresses, addresses(reply)...)
		}
		servers = append(servers, s)
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("the zone %s has no DNS servers", zone)
	}
	return servers, nil
}

func addresses(reply *dns.Msg) []string {
	var all []string
	for _, rr := range reply.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			all = append(all, net.JoinHostPort(rr.A.String(), "53"))
		case *dns.AAAA:
			all = append(all, net.JoinHostPort(rr.AAAA.String(), "53"))
		}
	}
	return all
}

// ask asks the resolvers, the next one if one is silent.
func (r *resolver) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	var all error
	for _, addr := range r.servers {
		reply, err := query(ctx, addr, name, kind, true)
		if err == nil && reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
			err = fmt.Errorf("%s says %s", addr, dns.RcodeToString[reply.Rcode])
		}
		if err == nil {
			return reply, nil
		}
		all = errors.Join(all, err)
	}
	return nil, all
}

// errSilent is of a server that gives no answer.
var errSilent = errors.New("no answer")

// has is nil if the server knows the record.
func (s server) has(ctx context.Context, fqdn, value string) error {
	var last error
	for _, addr := range s.addresses {
		reply, err := query(ctx, addr, fqdn, dns.TypeTXT, s.recurse)
		if err != nil {
			last = err
			continue
		}
		for _, rr := range reply.Answer {
			if txt, ok := rr.(*dns.TXT); ok && strings.Join(txt.Txt, "") == value {
				return nil
			}
		}
		return fmt.Errorf("the DNS server %s (%s) does not have it", strings.TrimSuffix(s.name, "."), addr)
	}
	return fmt.Errorf("%w from %s: %w", errSilent, s.name, last)
}

// query asks one server, over TCP too if the answer is too long for UDP, and twice
// since UDP may lose it.
func query(ctx context.Context, addr, name string, kind uint16, recurse bool) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	m.SetEdns0(1232, false)
	m.RecursionDesired = recurse
	var reply *dns.Msg
	var err error
	for _, network := range []string{"udp", "udp", "tcp"} {
		c := dns.Client{Net: network, Timeout: queryLimit}
		reply, _, err = c.ExchangeContext(ctx, m, addr)
		if err == nil && !reply.Truncated {
			return reply, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err == nil {
		err = errors.New("the answer is cut off")
	}
	return nil, err
}
