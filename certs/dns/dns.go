// Package dns shows a CA by records in DNS that names are ours: the challenge DNS-01
// of RFC 8555 section 8.4, with lego's providers of DNS.
//
// The providers read their access data from the environment, once. Two things of lego
// exist once in a process, its resolver and its log: New sets both, so that Solvers
// that are used at the same time must have the same Resolvers.
package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-acme/lego/v5/challenge/dns01"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

//go:generate go run portway/internal/dnsgen . ../../docs/dns-providers.md

// Config says who changes the records, and when the CA is told to look.
type Config struct {
	// Providers are names of providers, as in docs/dns-providers.md. The form
	// example.com=NAME is for one which is asked for that zone only.
	Providers []string
	// Resolvers find zones and their servers, and follow CNAMEs: host or host:port.
	// Empty: the system's.
	Resolvers []string
	// Check says where a record must be seen; empty: Authoritative.
	Check Check
	// Timeout is how long a record is waited for; 0: as long as the provider says.
	Timeout time.Duration
	// Delay is waited in addition, once the record was seen.
	Delay  time.Duration
	Logger *slog.Logger
}

// Check is where a record must be seen before the CA is told.
type Check string

// The ways to check.
const (
	Authoritative Check = "authoritative" // all authoritative servers of the zone that answer
	Resolvers     Check = "resolvers"     // Config.Resolvers; where the others cannot be reached
	None          Check = "none"          // nowhere; Config.Delay is waited
)

// Solver answers DNS-01 challenges. It may be used from several goroutines.
type Solver struct {
	cfg       Config
	providers []*provider // the one for the longest zone first
	resolver  *resolver
	secrets   secrets
	log       *slog.Logger

	mu   sync.Mutex
	open map[string]*presented // by key authorisation, which no two challenges share
}

var (
	_ acmez.Solver = (*Solver)(nil)
	_ acmez.Waiter = (*Solver)(nil)
)

// presented is a challenge whose record was made.
type presented struct {
	provider *provider
	fqdn     string // where the record is, behind all CNAMEs
	value    string
	done     bool // the record is not needed any more
}

// Error is a failure before the CA was told of a challenge: it has not judged.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

// New makes the providers. It fails if one of them lacks access data.
func New(cfg Config) (*Solver, error) {
	cfg.Check = cmp.Or(cfg.Check, Authoritative)
	s := &Solver{cfg: cfg, secrets: environment(), log: cfg.Logger, open: make(map[string]*presented)}
	s.resolver = newResolver(cfg.Resolvers)
	useForLego(s.resolver, cfg.Logger, s.secrets)
	for _, word := range cfg.Providers {
		zone, name, ok := strings.Cut(word, "=")
		if !ok {
			zone, name = "", word
		}
		p, err := newProvider(name, strings.Trim(strings.ToLower(zone), "."))
		if err != nil {
			return nil, errors.New(s.secrets.hide(err.Error()))
		}
		if slices.ContainsFunc(s.providers, func(o *provider) bool { return o.zone == p.zone }) {
			return nil, fmt.Errorf("%s: there are two providers for the same names; write ZONE=NAME to give each its own", word)
		}
		s.providers = append(s.providers, p)
	}
	slices.SortFunc(s.providers, func(a, b *provider) int { return len(b.zone) - len(a.zone) })
	return s, nil
}

// Covers tells whether there is a provider for a name (or wildcard).
func (s *Solver) Covers(name string) bool { return s.providerFor(name) != nil }

func (s *Solver) providerFor(name string) *provider {
	name = strings.TrimPrefix(name, "*.")
	for _, p := range s.providers {
		if p.zone == "" || name == p.zone || strings.HasSuffix(name, "."+p.zone) {
			return p
		}
	}
	return nil
}

// Present makes the record of a challenge.
func (s *Solver) Present(ctx context.Context, c acme.Challenge) error {
	name := c.Identifier.Value
	p := s.providerFor(name)
	if p == nil {
		return &Error{"no DNS provider is set for " + name}
	}
	info := dns01.GetChallengeInfo(ctx, name, c.KeyAuthorization)
	one := &presented{provider: p, fqdn: info.EffectiveFQDN, value: info.Value}
	if err := p.enter(ctx, one.fqdn); err != nil {
		return &Error{fmt.Sprintf("waited in vain for another challenge by the DNS provider %s to end: %v", p.name, err)}
	}
	defer p.calls.leave("")
	s.add(c, one)
	if err := p.api.Present(ctx, name, c.Token, c.KeyAuthorization); err != nil {
		s.remove(c)
		p.exit(one.fqdn)
		return s.fail(fmt.Sprintf("the DNS provider %s could not set the TXT record %s", p.name, one.fqdn), err)
	}
	s.log.Debug("A record for a DNS-01 challenge is set.", "name", name, "record", one.fqdn, "provider", p.name)
	return nil
}

// Wait returns once the record can be seen.
func (s *Solver) Wait(ctx context.Context, c acme.Challenge) error {
	s.mu.Lock()
	one := s.open[c.KeyAuthorization]
	s.mu.Unlock()
	if one == nil {
		return &Error{"the TXT record for " + c.Identifier.Value + " was not set"}
	}
	limit, interval := one.provider.timing()
	limit = cmp.Or(s.cfg.Timeout, limit)
	begun := time.Now()
	if p, ok := one.provider.api.(interface {
		Settle(ctx context.Context, auth string) error
	}); ok {
		until, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := p.Settle(until, c.KeyAuthorization); err != nil {
			return s.fail(fmt.Sprintf("the TXT record %s did not get to all servers of the DNS provider %s within %v", one.fqdn, one.provider.name, limit), err)
		}
	}
	left := max(limit-time.Since(begun), interval)
	if err := s.resolver.await(ctx, s.cfg.Check, one.fqdn, one.value, left, interval); err != nil {
		return s.fail(fmt.Sprintf("the TXT record %s, set by the DNS provider %s, was not seen everywhere within %v", one.fqdn, one.provider.name, limit), err)
	}
	return sleep(ctx, s.cfg.Delay)
}

// cleanLimit is how long the removal of a record may take, after all else ended.
const cleanLimit = 30 * time.Second

// CleanUp removes the record, or leaves that to the last challenge for the same name:
// the CA may be about to read the record of another, and there are providers that
// remove all of a name's.
func (s *Solver) CleanUp(ctx context.Context, c acme.Challenge) error {
	s.mu.Lock()
	one := s.open[c.KeyAuthorization]
	s.mu.Unlock()
	if one == nil {
		return nil // its Present failed
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	p := one.provider
	defer p.exit(one.fqdn)
	if err := p.calls.enter(ctx, ""); err != nil {
		s.remove(c)
		return s.fail("the TXT record "+one.fqdn+" could not be removed", err)
	}
	defer p.calls.leave("")
	var all error
	for _, auth := range s.finished(one) {
		err := p.api.CleanUp(ctx, c.Identifier.Value, c.Token, auth)
		all = errors.Join(all, err)
	}
	if all != nil {
		return s.fail("the DNS provider "+p.name+" could not remove the TXT record "+one.fqdn, all)
	}
	return nil
}

func (s *Solver) add(c acme.Challenge, one *presented) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c.KeyAuthorization] = one
}

func (s *Solver) remove(c acme.Challenge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c.KeyAuthorization)
}

// finished marks one as done, and gives the key authorisations of all whose records
// can be removed now.
func (s *Solver) finished(one *presented) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.done = true
	var all []string
	for auth, other := range s.open {
		if other.fqdn != one.fqdn || other.provider != one.provider {
			continue
		}
		if !other.done {
			return nil
		}
		all = append(all, auth)
	}
	for _, auth := range all {
		delete(s.open, auth)
	}
	return all
}

// fail makes an error without secrets: what providers report may hold the address
// that they called, and that a token.
func (s *Solver) fail(what string, err error) error {
	return &Error{what + ": " + s.secrets.hide(err.Error())}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
