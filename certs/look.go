package certs

import (
	"context"
	"slices"
	"time"

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
func (k *keeper) look(ctx context.Context, c *candidate, o order) error {
	if k.preflight == nil || k.cert != nil || isIP(k.entry.name) || c.known.directory == "" && !k.preflightAll {
		return nil
	}
	t := preflight.Target{
		Name: k.entry.name, Directory: c.Directory, Port: k.reachPort, ByDNS: o.way.dns != nil,
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
		return &unfit{r.Fatal, r.Missing}
	}
	return nil
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
