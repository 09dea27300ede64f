package route

import (
	"strings"

	"portway/label"
)

// Name is a host that needs a certificate, with what its routes wish of it. With
// TLS.OnDemand, a wildcard stands for the hosts that it fits, and so does a pattern.
type Name struct {
	Host string // as in Route.Hosts
	TLS  TLS
}

// namer collects the names of a table.
type namer struct {
	names    []Name
	index    map[string]int // of names, by host
	problems []label.Problem
}

// add notes what the routes, which settled says more about, wish of their hosts.
func (n *namer) add(routes []*Route, settled []settlement) {
	for i, r := range routes {
		for _, host := range settled[i].held {
			pattern := strings.HasPrefix(host, hostPattern)
			if _, known := n.index[host]; !known && r.HTTPS != Off && (!pattern || r.TLS.OnDemand != (OnDemand{})) {
				n.index[host] = len(n.names)
				n.names = append(n.names, Name{Host: host, TLS: TLS{OnDemand: r.TLS.OnDemand}})
			}
		}
	}
	for i, r := range routes {
		for _, hosts := range [][]string{settled[i].held, settled[i].shared} {
			for _, host := range hosts {
				if at, known := n.index[host]; known && r.HTTPS != Off {
					n.wish(&n.names[at], r)
				}
			}
		}
	}
}

// wish adds what r wishes. Of several routes for a host, the first that has a wish is
// heard, so that a newcomer without any changes nothing.
func (n *namer) wish(name *Name, r *Route) {
	heard := &name.TLS
	if own := r.TLS.OnDemand; own != (OnDemand{}) && own != heard.OnDemand { // these are of one piece
		n.problems = append(n.problems, label.Problem{
			Source: r.Source, Why: "tls.on-demand is not as an older route for " + name.Host + " has it, and that counts",
			Fix: "give both the same tls.on-demand options, or remove them here",
		})
	}
	for _, w := range []struct {
		option string
		heard  *string
		own    string
	}{
		{"tls.issuer", &heard.Issuer, r.TLS.Issuer},
		{"tls.challenge", &heard.Challenge, r.TLS.Challenge},
		{"tls.key-type", &heard.KeyType, r.TLS.KeyType},
		{"tls.profile", &heard.Profile, r.TLS.Profile},
		{"tls.wildcard", &heard.Wildcard, r.TLS.Wildcard},
	} {
		switch {
		case *w.heard == "":
			*w.heard = w.own
		case w.own != "" && w.own != *w.heard:
			n.problems = append(n.problems, label.Problem{
				Source: r.Source,
				Why:    w.option + " is " + w.own + ", but an older route for " + name.Host + " has " + *w.heard + ", and that counts: a host has one certificate",
				Fix:    "give both the same " + w.option + ", or remove it here",
			})
		}
	}
}
