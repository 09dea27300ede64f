package certs

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// DNSSolver answers DNS-01 challenges; see package certs/dns.
type DNSSolver interface {
	acmez.Solver
	acmez.Waiter
	Covers(name string) bool // tells whether it can for a name, or a wildcard
}

// way is some challenges by which a CA is shown that a name is ours. Of them it is
// asked one after the other, until one succeeds.
type way struct {
	challenges []string
	dns        DNSSolver // for DNS-01, which is always alone
}

// prover knows the ways that can work here.
type prover struct {
	arrive []string  // challenges that come in at a port of ours
	dns    DNSSolver // nil without a DNS provider
}

func newProver(cfg Config) prover {
	p := prover{dns: cfg.DNS}
	if cfg.HTTPPort >= 0 {
		p.arrive = append(p.arrive, acme.ChallengeTypeHTTP01)
	}
	if cfg.TLSPort >= 0 {
		p.arrive = append(p.arrive, acme.ChallengeTypeTLSALPN01)
	}
	return p
}

// ways are those for a name, the best one first: where there is a DNS provider,
// nothing has to reach us. The next one is for when that does not know the zone.
func (p prover) ways(name, wish string) ([]way, error) {
	wildcard := strings.HasPrefix(name, "*.")
	if wildcard && wish != "" && wish != acme.ChallengeTypeDNS01 {
		return nil, errors.New("a certificate for " + name + " needs the DNS-01 challenge, but its route wishes for " + wish + ": remove tls.challenge")
	}
	byDNS := p.dns != nil && !isIP(name) && p.dns.Covers(name)
	var all []way
	if byDNS && (wish == "" || wish == acme.ChallengeTypeDNS01) {
		all = append(all, way{challenges: []string{acme.ChallengeTypeDNS01}, dns: p.dns})
	}
	switch {
	case wildcard, wish == acme.ChallengeTypeDNS01:
		if len(all) == 0 {
			return nil, noDNS(name, wildcard)
		}
	case wish != "":
		if !slices.Contains(p.arrive, wish) {
			setting := "http"
			if wish == acme.ChallengeTypeTLSALPN01 {
				setting = "https"
			}
			return nil, errors.New("the challenge " + wish + " cannot arrive here, since " + setting + " is off: open it, or remove tls.challenge")
		}
		all = append(all, way{challenges: []string{wish}})
	case len(p.arrive) > 0:
		all = append(all, way{challenges: p.arrive})
	}
	if len(all) == 0 {
		return nil, errors.New("no challenge for " + name + " can arrive here, since http and https are off, and it is no name of the DNS provider's")
	}
	return all, nil
}

func noDNS(name string, wildcard bool) error {
	why := "the DNS-01 challenge for " + name + " needs a DNS provider: set dns-provider to the one that has its zone"
	if wildcard {
		base := strings.TrimPrefix(name, "*.")
		why = "a public certificate for " + name + " needs the DNS-01 challenge, and that a DNS provider: set dns-provider to the one that has the zone of " + base +
			", list the names below " + base + " that you serve, one by one, or let the internal CA certify all names"
	}
	return errors.New(why)
}

// use has issuer offer these challenges only.
func (w way) use(issuer *certmagic.ACMEIssuer) {
	if w.dns != nil {
		issuer.DNS01Solver = dnsSolver{w.dns}
		return
	}
	issuer.DisableHTTPChallenge = !slices.Contains(w.challenges, acme.ChallengeTypeHTTP01)
	issuer.DisableTLSALPNChallenge = !slices.Contains(w.challenges, acme.ChallengeTypeTLSALPN01)
}

// dnsSolver marks errors.
type dnsSolver struct{ DNSSolver }

// dnsError is of a challenge that the CA was not told of, so that it has not judged.
// It does not unwrap: what a provider could not reach is not the CA.
type dnsError struct{ text string }

func (e *dnsError) Error() string { return e.text }

func markDNS(err error) error {
	if err == nil {
		return nil
	}
	return &dnsError{err.Error()}
}

func (s dnsSolver) Present(ctx context.Context, c acme.Challenge) error {
	return markDNS(s.DNSSolver.Present(ctx, c))
}

func (s dnsSolver) Wait(ctx context.Context, c acme.Challenge) error {
	return markDNS(s.DNSSolver.Wait(ctx, c))
}

// runWays makes an order, and another by the next way where one failed before the CA
// was told of a challenge.
func (k *keeper) runWays(ctx context.Context, c *candidate, t *try, o order) error {
	var before error
	for i, way := range k.entry.ways {
		if i > 0 { // the first one is in o, and was looked at before
			o.way = way
			var err error
			if o.way, err = k.look(ctx, c, o); err != nil {
				return before
			}
		}
		err := c.run(ctx, t, newLogger(k.log, t), o)
		var dns *dnsError
		if err == nil || ctx.Err() != nil || !errors.As(err, &dns) {
			return err
		}
		t.noteDNS(dns)
		before = err
	}
	return before
}

// noteDNS keeps what went wrong, for the case that the next way fails too.
func (t *try) noteDNS(err *dnsError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dns = err.text
}
