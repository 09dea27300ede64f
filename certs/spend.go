package certs

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"portway/certs/budget"
)

// purse is what the CA's limits are kept with.
type purse struct {
	ledger *budget.Ledger
	limits budget.Limits
	known  bool // by the CA's own documents, by which a renewal in its time is free (RFC 9773)
	tries  int  // challenges that one try may fail with, each of which takes an order
}

// newPurse is for the CA at directory. other are the limits of a CA that has
// not published any.
func newPurse(folder, directory string, other budget.Limits, tries int) purse {
	p := purse{ledger: budget.New(folder), limits: other, tries: tries}
	if limits, ok := budget.Published(directory); ok {
		p.limits, p.known = limits, true
	}
	return p
}

// challenges counts those that can be tried.
func challenges(cfg Config) int {
	n := 0
	for _, port := range []int{cfg.HTTPPort, cfg.TLSPort} {
		if port >= 0 {
			n++
		}
	}
	return max(n, 1) // by DNS there is one
}

// spend makes an order by once if the CA's limits have room for it, and keeps
// account of it. The error is a *budget.Wait if they have not.
func (a *authority) spend(ctx context.Context, t *try, made order, once func() error) error {
	o := budget.Order{
		CA: a.ledger.issuer, Limits: a.purse.limits, Names: []string{t.name}, Tries: a.purse.tries, Renewal: made.renewal,
		// At the second failure certmagic does not tell what is replaced, in case that was the reason.
		Exempt: made.renewal && a.purse.known && made.failures != 2,
	}
	if err := a.purse.ledger.Begin(o); err != nil {
		return err
	}
	err := once()
	if ctx.Err() != nil {
		return err // nobody knows what has become of it: it counts in full
	}
	return errors.Join(err, a.settle(o, t, err))
}

func (a *authority) settle(o budget.Order, t *try, err error) error {
	t.mu.Lock()
	begun, wait := t.begun[a.Directory], t.retryAfter
	delete(t.begun, a.Directory) // there may be another way
	t.mu.Unlock()
	outcome := budget.Outcome{Issued: err == nil, Failures: begun}
	if dns := (*dnsError)(nil); err == nil || errors.As(err, &dns) { // the last one did not fail
		outcome.Failures = max(begun-1, 0)
	}
	failed := a.purse.ledger.End(o, outcome)
	var problem acme.Problem
	if errors.As(err, &problem) && (problem.Type == acme.ProblemTypeRateLimited || problem.Status == 429 || problem.Status == 503 && wait > 0) {
		if wait == 0 {
			wait = unnamedWait
		}
		why := sentence("The CA said: "+problem.Detail) + " " + problemAdvice(acme.ProblemTypeRateLimited, t.name)
		failed = errors.Join(failed, a.purse.ledger.Refused(o, scopeOf(problem), time.Now().Add(wait), why))
	}
	return failed
}

// scopeOf tells what a refusal is about, which a CA says in words only. These
// are Let's Encrypt's.
func scopeOf(p acme.Problem) budget.Scope {
	about := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(p.Detail, w) {
				return true
			}
		}
		return false
	}
	switch {
	case about("failed authorizations", "exact set"):
		return budget.OfName
	case p.Status == 503, about("new orders", "registrations", "from this account"):
		return budget.OfAccount
	case about("certificates"):
		return budget.OfDomain
	default:
		return budget.OfName
	}
}
