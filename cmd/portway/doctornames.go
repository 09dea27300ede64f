package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portway/admin"
	"portway/certs"
	"portway/certs/preflight"
	"portway/discovery"
	"portway/doctor"
	"portway/route"
)

// firstTable is how long the doctor waits for all containers and files to be read.
const firstTable = 15 * time.Second

// hosts gives those that are served, as a running Portway says, or else as one would that
// begins now. The names of no public CA are left out: whoever uses them has DNS of their own.
func (r *runCmd) hosts(ctx context.Context, engine discovery.Engine, control string) []string {
	var all []string
	var served []admin.RouteDetail
	if err := askJSON(control, "/v1/routes", &served); err == nil {
		for _, s := range served {
			all = append(all, s.Hosts...)
		}
	} else {
		all = r.wouldServe(ctx, engine)
	}
	all = slices.DeleteFunc(all, func(host string) bool {
		_, notName := netip.ParseAddr(host)
		return notName == nil || strings.HasPrefix(host, "~") || !certs.Public(host)
	})
	slices.Sort(all)
	return slices.Compact(all)
}

// wouldServe reads containers and static files once.
func (r *runCmd) wouldServe(ctx context.Context, engine discovery.Engine) (hosts []string) {
	ctx, cancel := context.WithTimeout(ctx, firstTable)
	defer cancel()
	// That it cannot be watched is told by the look at the engine.
	_ = discovery.Watch(ctx, r.discovery(engine, nil, slog.New(slog.DiscardHandler)), func(t *route.Table) {
		hosts = nil
		for _, x := range t.Routes() {
			hosts = append(hosts, x.Hosts...)
		}
		cancel()
	})
	return hosts
}

// dnsOf looks whether the DNS of hosts leads here.
func (x doctorCmd) dnsOf(ctx context.Context, r *runCmd, hosts []string, ours bool) doctor.Report {
	names := doctor.Names{
		Hosts: hosts, Checker: preflight.New(r.DNSResolvers), Own: doctor.Addresses(), Public: x.PublicAddress, ByDNS: len(r.DNSProvider) > 0,
	}
	if ours && len(r.HTTP) > 0 {
		if host, port, err := net.SplitHostPort(r.HTTP[0]); err == nil {
			if ip, err := netip.ParseAddr(host); err != nil || ip.IsUnspecified() {
				host = "127.0.0.1"
			}
			names.Serving = net.JoinHostPort(host, port)
		}
	}
	return names.Look(ctx)
}

// askCAs looks whether those that issue certificates can be reached, the first of them, and
// those that stand in for it.
func (r *runCmd) askCAs(ctx context.Context, cas []certs.CA) (report doctor.Report) {
	asked, err := certs.Asked(r.authorities(cas))
	if err != nil {
		return doctor.Report{{Status: doctor.Bad, About: "CA", What: err.Error()}}
	}
	clock := false
	for i, ca := range asked {
		for _, f := range doctor.CA(ctx, ca.Directory, roots(ca.Roots)) {
			isClock := f.About == doctor.Clock
			switch {
			case isClock && clock:
				continue
			case !isClock && i > 0 && f.Status == doctor.Bad:
				f.Status, f.Why = doctor.Warning, "it cannot stand in for "+asked[0].Name
			}
			clock = clock || isClock
			report = append(report, f)
		}
	}
	return report
}

// seen looks at the clients of the last requests that no route took.
func seen(control string) doctor.Report {
	var failures []admin.Failure
	if askJSON(control, "/v1/failures", &failures) != nil {
		return nil // no Portway runs
	}
	var clients []netip.Addr
	for _, f := range failures {
		if a, err := netip.ParseAddr(f.Client); err == nil && !a.IsLoopback() {
			clients = append(clients, a)
		}
	}
	return doctor.Seen(clients)
}
