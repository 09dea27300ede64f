package certs

import (
	"context"
	"slices"

	"portway/certs/preflight"
)

// unfit is why a CA is not asked: it is certain that it would refuse.
type unfit struct{ why string }

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
		return &unfit{r.Fatal}
	}
	return nil
}
