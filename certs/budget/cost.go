package budget

import (
	"fmt"
	"strings"
	"time"
)

// cost is what an order takes from one bucket.
type cost struct {
	bucket bucket
	set    func(bucket)
	rate   Rate
	n      int
	what   string // what there are too many of
}

func (c cost) why() string {
	return fmt.Sprintf("The CA allows %d %s in %s, and they are used up: Portway waits, so that the CA does not lock you out.",
		c.rate.Burst, c.what, span(c.rate.Per))
}

// span writes a duration as people say it.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "a day"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d == time.Hour:
		return "an hour"
	case d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	default:
		return d.String()
	}
}

// costs lists all that o can take.
func (b *book) costs(o Order) []cost {
	var all []cost
	if !o.Exempt {
		all = append(all, cost{b.account.Account, func(n bucket) { b.account.Account = n }, o.Limits.Orders, o.tries(), "orders"})
	}
	key := set(o.Names)
	for _, p := range b.domains {
		if !o.Exempt && !o.Renewal {
			all = append(all, cost{p.Certificates, func(n bucket) { p.Certificates = n }, o.Limits.Certificates, 1, "new certificates for " + p.About})
		}
	}
	if !o.Exempt {
		p := b.page(o.Names[0])
		all = append(all, cost{p.Duplicates[key], func(n bucket) { p.Duplicates[key] = n }, o.Limits.Duplicates, 1, "certificates for " + strings.Join(o.Names, ", ")})
	}
	for _, name := range o.Names {
		p := b.page(name)
		all = append(all, cost{p.Validations[name], func(n bucket) { p.Validations[name] = n }, o.Limits.Failures, o.tries(), "failed checks of " + name})
	}
	return all
}

// page returns the page about the domain of name.
func (b *book) page(name string) *page {
	domain := Domain(name)
	for _, p := range b.domains {
		if p.About == domain {
			return p
		}
	}
	return b.account // not reached: open made one for each
}

// count adds o to what people are told.
func (b *book) count(now time.Time) {
	for _, p := range append([]*page{b.account}, b.domains...) {
		p.Orders++
		p.LastOrder = now
	}
}

// settle gives back what o did not cost after all.
func (b *book) settle(o Order, outcome Outcome, now time.Time) {
	failed := outcome.Failures
	if failed < 0 {
		failed = o.tries()
	}
	if !o.Exempt {
		// One order for each validation that failed, and the one that did not.
		made := failed
		if outcome.Issued || failed == 0 {
			made++
		}
		b.account.Account = b.account.Account.giveBack(o.Limits.Orders, o.tries()-made)
		b.account.Account = b.account.Account.charge(o.Limits.Orders, made-o.tries(), now)
	}
	if !outcome.Issued && !o.Exempt {
		key := set(o.Names)
		p := b.page(o.Names[0])
		p.Duplicates[key] = p.Duplicates[key].giveBack(o.Limits.Duplicates, 1)
		for _, p := range b.domains {
			if !o.Renewal {
				p.Certificates = p.Certificates.giveBack(o.Limits.Certificates, 1)
			}
		}
	}
	for _, name := range o.Names {
		p := b.page(name)
		p.Validations[name] = p.Validations[name].giveBack(o.Limits.Failures, o.tries()-failed)
	}
	b.account.Failures += failed
	for _, p := range b.domains {
		p.Failures += failed
	}
}

// blocks lists the refusals that o is subject to.
func (b *book) blocks(o Order) []block {
	all := []block{b.account.Block, b.page(o.Names[0]).Blocks[set(o.Names)]}
	for _, p := range b.domains {
		all = append(all, p.Block)
	}
	return all
}

func (b *book) block(o Order, scope Scope, refusal block) {
	switch scope {
	case OfAccount:
		b.account.Block = refusal
	case OfDomain:
		for _, p := range b.domains {
			p.Block = refusal
		}
	case OfName:
		b.page(o.Names[0]).Blocks[set(o.Names)] = refusal
	}
}
