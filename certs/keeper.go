package certs

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/caddyserver/certmagic"
)

// keeper looks after the certificate of one public name, in one goroutine.
type keeper struct {
	*Manager
	entry *entry
	chain []*candidate // the CAs that may be asked, in order

	warned  []string  // by preflight
	looks   int       // that found no address of the name, in a row
	cert    *stored   // the one that is served; nil if there is none by any of chain
	renewAt time.Time // when cert is due
	askAt   time.Time // when the CA is asked again what it suggests
	next    time.Time // when to look again

	unstaple context.CancelFunc // ends the stapler of cert; nil if there is none
}

// candidate is a CA that may be asked for the name.
type candidate struct {
	*authority
	record record // of failures; zero if there are none
}

func (k *keeper) run(ctx context.Context) {
	// Each that reads files holds a thread.
	select {
	case k.loading <- struct{}{}:
		k.load(ctx)
		<-k.loading
	case <-ctx.Done():
	}
	close(k.entry.loaded)
	for k.entry.sleep(ctx, k.next) {
		k.step(ctx)
	}
}

// load takes from the storage what an earlier run left.
func (k *keeper) load(ctx context.Context) {
	now := time.Now()
	k.next = now
	if cert := newest(ctx, k.storage, k.chain, k.entry.name, func(a *authority, err error) { k.discard(ctx, a, err) }); cert != nil {
		k.serve(ctx, cert)
	}
	for _, c := range k.chain {
		record, err := c.ledger.load(ctx, k.entry.name)
		if err != nil {
			k.log.Warn("What is known about earlier failures cannot be read; starting afresh.", "name", k.entry.name, "error", err)
		}
		if limit := now.Add(longestWait); record.NextTry.After(limit) { // a clock that went wrong must not stop us for years
			record.NextTry = limit
		}
		c.record = record
	}
	if k.attempts() == 0 {
		return
	}
	if k.cert != nil && !k.isDue(now) { // the last try succeeded after all
		k.forget(ctx)
		return
	}
	if c, at := k.turn(now, false); c == nil {
		k.next = at
		k.report()
		k.log.Info("Waiting after failures before the next try for a certificate.", "name", k.entry.name,
			"attempts", k.attempts(), "last_error", k.entry.status.Load().LastError, "next_try", at.Round(time.Second))
	}
}

// discard makes room for a new certificate where the stored one is damaged, as a
// crash between its files may leave it.
func (k *keeper) discard(ctx context.Context, a *authority, why error) {
	k.log.Warn("The stored certificate is damaged; getting a new one.", "name", k.entry.name, "error", why)
	if err := k.storage.Delete(ctx, certmagic.StorageKeys.SiteMeta(a.ledger.issuer, k.entry.name)); err != nil {
		k.log.Error("The damaged certificate cannot be removed.", "name", k.entry.name, "error", err)
	}
}

// step looks whether something is to be done, and does it.
func (k *keeper) step(ctx context.Context) {
	if k.entry.changed.Swap(false) {
		k.takeStored(ctx)
	}
	if k.leave(ctx) {
		return
	}
	now := time.Now()
	if k.cert != nil && !k.entry.force.Load() {
		if !now.Before(k.askAt) {
			k.askRenewalInfo(ctx)
		}
		if now = time.Now(); !k.isDue(now) {
			k.next = now.Add(k.timing.check + rand.N(k.timing.check/10+1))
			if k.renewAt.After(now) && k.renewAt.Before(k.next) {
				k.next = k.renewAt
			}
			return
		}
	}
	if !k.allowed(ctx) {
		return
	}
	slots := k.fresh
	if k.attempts() > 0 {
		slots = k.again
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
		k.try(ctx)
	case <-ctx.Done():
	}
}

// takeStored serves what somebody else has put into the storage.
func (k *keeper) takeStored(ctx context.Context) {
	cert := newest(ctx, k.storage, k.chain, k.entry.name, func(*authority, error) {})
	if cert == nil || k.cert != nil && !cert.Leaf.NotBefore.After(k.cert.Leaf.NotBefore) {
		return
	}
	k.forget(ctx)
	k.serve(ctx, cert)
}

// isDue tells whether another certificate is needed: because of its age, or because
// it is not as its route wishes.
func (k *keeper) isDue(now time.Time) bool { return !now.Before(k.renewAt) || k.unlike() }

// unlike tells whether the certificate is not as wished.
func (k *keeper) unlike() bool {
	w := k.entry.wishes
	return w.KeyType != "" && keyTypeOf(k.cert.Certificate) != w.KeyType ||
		w.Profile != "" && k.cert.meta.IssuerData.Profile != w.Profile
}

// serve has cert served from now on.
func (k *keeper) serve(ctx context.Context, cert *stored) {
	stapled(cert.Certificate, k.entry.cert.Load())
	k.cert, k.renewAt = cert, cert.due()
	k.entry.cert.Store(cert.Certificate)
	k.planAsking()
	k.entry.update(func(s *Status) {
		*s = statusOf(s.Name, cert.Certificate)
		s.Issuer, s.NextRenewal = cert.by.Name, k.renewAt
		s.Profile, s.Challenge = cert.meta.IssuerData.Profile, cert.meta.IssuerData.Challenge
	})
	k.entry.settle()
	k.staple(ctx)
}

func (k *keeper) obtained(ctx context.Context, c *candidate, cert *stored, took time.Duration) {
	what := "Obtained a certificate."
	if k.cert != nil {
		what = "Renewed a certificate."
	}
	if k.cert == nil || !k.cert.Leaf.Equal(cert.Leaf) {
		k.log.Info(what, "name", k.entry.name, "issuer", c.Name,
			"took", took.Round(time.Millisecond), "expires", cert.Leaf.NotAfter)
	}
	k.entry.force.Store(false)
	k.forget(ctx)
	k.serve(ctx, cert)
	// However short the CA makes certificates, it is not asked all the time.
	k.next = time.Now().Add(min(k.timing.check, k.timing.backoff.base))
}

// forget clears the failures of the name.
func (k *keeper) forget(ctx context.Context) {
	for _, c := range k.chain {
		c.record = record{}
		if err := c.ledger.clear(ctx, k.entry.name); err != nil {
			k.log.Warn("The record of earlier failures cannot be removed.", "name", k.entry.name, "error", err)
		}
	}
}
