package certs

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"
)

// patience is after how many failures of a name another CA is asked, though it
// would look at the same DNS records and ports.
const patience = 2

// turn returns the CA to ask now, or nil and when there will be one. The next in
// the chain is asked while the one before it waits, if that failed for reasons of
// its own, or repeatedly. at once disregards what we decided to wait ourselves.
func (k *keeper) turn(now time.Time, atOnce bool) (c *candidate, at time.Time) {
	for _, c := range k.chain {
		wait := c.record.NextTry
		if atOnce {
			wait = c.record.NotBefore
		}
		paused := false
		if until := c.pausedUntil(); len(k.chain) > 1 && until.After(now) {
			paused = true
			if until.After(wait) {
				wait = until
			}
		}
		if !wait.After(now) {
			return c, now
		}
		if at.IsZero() || wait.Before(at) {
			at = wait
		}
		if !paused && !c.record.Elsewhere && c.record.Attempts < patience {
			break
		}
	}
	return nil, at
}

// try asks the CAs, each once at most, until one has issued a certificate.
func (k *keeper) try(ctx context.Context) {
	atOnce := k.entry.atOnce.Swap(false)
	asked := make(map[*candidate]bool)
	for {
		c, at := k.turn(time.Now(), atOnce)
		if c == nil || asked[c] {
			k.next = cmp.Or(at, time.Now().Add(k.timing.backoff.base))
			k.report()
			k.giveUp()
			return
		}
		asked[c] = true
		if k.attempt(ctx, c) || ctx.Err() != nil {
			return
		}
		atOnce = false
	}
}

// attempt asks one CA and tells whether there is a certificate.
func (k *keeper) attempt(ctx context.Context, c *candidate) bool {
	start := time.Now()
	t := newTry(k.entry.name)
	o := order{
		wishes: k.wishesAt(c), reuseKey: k.reuseKeys, failures: c.record.Attempts, limit: k.timing.try,
		renewal: k.cert != nil && k.cert.by == c.authority,
		force:   k.entry.force.Load() || k.cert != nil && k.unlike(),
	}
	o.keyType, _ = keyType(o.wishes.KeyType) // it was looked at when the name came
	o.way = k.entry.ways[0]
	first, unfitness := k.look(ctx, c, o)
	if ctx.Err() != nil {
		return false
	}
	if bad := (*unfit)(nil); errors.As(unfitness, &bad) && bad.missing {
		k.absent(ctx, c, bad.why)
		return false
	}
	if c.record.Attempts == 0 || k.looks > 0 { // else the internet may be otherwise than it looks from here
		o.way = first
	}
	k.looks = 0
	c.record.Name = k.entry.name
	c.record = c.record.begun(start, k.timing.backoff)
	// Without the ledger, and so without the storage, an order would be in vain.
	err := c.ledger.save(withTry(ctx, t), c.record)
	if err == nil {
		err = unfitness
	}
	if err == nil {
		err = k.runWays(ctx, c, t, o)
	}
	var cert *stored
	if err == nil {
		cert, err = c.load(ctx, k.storage, k.entry.name)
	}
	if err == nil {
		data := &cert.meta.IssuerData
		proof := cmp.Or(t.proof(), data.Challenge)
		if proof == "" && k.cert != nil && k.cert.by == c.authority { // which the CA has remembered
			proof = k.cert.meta.IssuerData.Challenge
		}
		if data.Profile != o.wishes.Profile || data.Challenge != proof {
			data.Profile, data.Challenge = o.wishes.Profile, proof
			err = cert.saveMeta(withTry(ctx, t), k.storage, k.entry.name)
		}
	}
	switch {
	case ctx.Err() != nil: // the name is gone, or Portway ends; the record tells
		return false
	case err != nil:
		k.failed(ctx, c, t, err)
		return false
	default:
		c.well()
		k.obtained(ctx, c, cert, time.Since(start))
		return true
	}
}

// wishesAt completes the wishes of the name for one CA.
func (k *keeper) wishesAt(c *candidate) Wishes {
	w := k.entry.wishes
	w.KeyType = cmp.Or(w.KeyType, k.keyType)
	if w.Profile == "" && isIP(k.entry.name) {
		w.Profile = c.known.ipProfile
	}
	w.Profile = cmp.Or(w.Profile, c.Profile)
	return w
}

func (k *keeper) failed(ctx context.Context, c *candidate, t *try, err error) {
	f := t.explain(err, k.storage, c.Directory)
	now := time.Now()
	if f.early { // nothing was tried
		c.record.Attempts = max(c.record.Attempts-1, 1)
	}
	c.record = c.record.failed(now, k.timing.backoff, f.wait, f.reason)
	c.record.Elsewhere = f.elsewhere
	if f.ill {
		c.ill(now, k.timing.backoff, f.wait)
	}
	k.logFailure(c, f)
	err = c.ledger.save(ctx, c.record)
	if err != nil && t.storageErr == nil { // else it is told above
		k.log.Error("The failure cannot be recorded, so that a restart would forget it.", "name", k.entry.name, "error", k.storage.explain(err))
	}
}

func (k *keeper) logFailure(c *candidate, f failure) {
	next := c.record.NextTry.Round(time.Second)
	if f.early {
		k.log.Warn("An order waits, since it would break a limit of the CA.", "name", k.entry.name, "issuer", c.Name, "reason", f.reason, "next_try", next)
		return
	}
	attrs := []any{"name", k.entry.name, "issuer", c.Name, "error", f.reason, "attempts", c.record.Attempts, "next_try", next}
	what := "A certificate could not be obtained."
	if cert := k.entry.cert.Load(); cert != nil {
		what = "A certificate could not be renewed; the old one is still served."
		attrs = append(attrs, "expires", cert.Leaf.NotAfter)
	}
	k.log.Error(what, attrs...)
}

// attempts is how many tries failed in a row, at the CA where they were most.
func (k *keeper) attempts() int {
	most := 0
	for _, c := range k.chain {
		most = max(most, c.record.Attempts)
	}
	return most
}

// report brings the records into the status.
func (k *keeper) report() {
	var errs []string
	for _, c := range k.chain {
		switch {
		case c.record.Attempts == 0:
		case len(k.chain) == 1:
			errs = append(errs, c.record.Error)
		default:
			errs = append(errs, c.Name+": "+c.record.Error)
		}
	}
	k.entry.update(func(s *Status) {
		s.LastError, s.NextTry, s.Attempts = strings.Join(errs, " "), k.next, k.attempts()
		if k.entry.cert.Load() == nil {
			s.State = Failed
		}
	})
	k.entry.settle()
}
