package certs

import (
	"context"
	"slices"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"portway/certs/preflight"
)

// unfit is why a CA is not asked: it is certain that it would refuse.
type unfit struct {
	why     string
	missing bool // the name has no address
}

// checker is preflight.Checker, but in tests.
type checker interface {
	Check(context.Context, preflight.Target) preflight.Result
}

func (u *unfit) Error() string { return u.why }

// look finds out, before the first certificate of the name, whether to ask c can
// have success. What looks odd is told once.
func (k *keeper) look(ctx context.Context, c *candidate, o order) (way, error) {
	if k.preflight == nil || k.entry.cert.Load() != nil || isIP(k.entry.name) || c.known.directory == "" && !k.preflightAll {
		return o.way, nil
	}
	t := preflight.Target{
		Name: k.entry.name, Directory: c.Directory, Port: k.reachPort, TLSPort: k.reachTLSPort, ByDNS: o.way.dns != nil,
	}
	if !slices.Contains(o.way.challenges, acme.ChallengeTypeHTTP01) {
		t.Port = -1
	}
	if !slices.Contains(o.way.challenges, acme.ChallengeTypeTLSALPN01) || k.entry.rule.Load() != nil { // a guest's handshakes wait for the certificate
		t.TLSPort = -1
	}
	if c.transport != nil {
		t.Roots = c.transport.TLSClientConfig.RootCAs
	}
	r := k.preflight.Check(ctx, t)
	for _, w := range r.Warnings {
		if !slices.Contains(k.warned, w) {
			k.log.Warn("Before the first certificate.", "name", k.entry.name, "warning", w)
		}
	}
	k.warned = r.Warnings
	if r.Fatal != "" {
		return o.way, &unfit{r.Fatal, r.Missing}
	}
	return o.way.where(r), nil
}

// where leaves out the challenge that cannot arrive, if another one can.
func (w way) where(r preflight.Result) way {
	switch {
	case r.HTTP == preflight.Here && r.TLS == preflight.NotHere:
		w.challenges = []string{acme.ChallengeTypeHTTP01}
	case r.HTTP == preflight.NotHere && r.TLS == preflight.Here:
		w.challenges = []string{acme.ChallengeTypeTLSALPN01}
	}
	return w
}

// absent notes that the name has no address at the moment. Nothing was ordered, and
// people who have just made a record do not want to wait for hours: so it is looked up
// again soon, told and written down once, and is no further failure.
func (k *keeper) absent(ctx context.Context, c *candidate, why string) {
	k.looks++
	now := time.Now()
	known := c.record.Error == why
	c.record = c.record.absent(k.entry.name, now, now.Add(k.timing.missing.delay(k.looks)), why)
	if known {
		return
	}
	k.log.Error("A certificate could not be obtained.", "name", k.entry.name, "error", why, "next_try", c.record.NextTry.Round(time.Second),
		"again_every", k.timing.missing.limit)
	if err := c.ledger.save(ctx, c.record); err != nil {
		k.log.Error("The failure cannot be recorded, so that a restart would forget it.", "name", k.entry.name, "error", k.storage.explain(err))
	}
}
