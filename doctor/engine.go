package doctor

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"

	"portway/discovery"
)

const engineLimit = 5 * time.Second

// Engine asks for all that discovery asks for, and how clients come to Portway's container.
func Engine(ctx context.Context, e discovery.Engine) Report {
	ctx, cancel := context.WithTimeout(ctx, engineLimit)
	defer cancel()
	const about = "engine"
	bad := func(err error) Report {
		p := discovery.Trouble(e, err)
		return Report{{Bad, about, p.Source + ": " + p.Why, "no container is found", p.Fix}}
	}
	ping, err := e.Ping(ctx)
	if err != nil {
		return bad(err)
	}
	if _, err := e.ContainerList(ctx, container.ListOptions{All: true}); err != nil {
		return bad(err)
	}
	info, err := e.Info(ctx)
	if err != nil {
		info = system.Info{} // a socket proxy may well refuse it
	}
	all := Report{{Good, about, "answers, version " + or(info.ServerVersion, "unknown") + ", API " + ping.APIVersion, "", ""}}
	if p, old := discovery.TooOld(e, ping.APIVersion); old {
		all[0] = Finding{Warning, about, p.Source + ": " + p.Why, "what it does not know yet goes wrong", p.Fix}
	}
	return append(all, clients(ctx, e, info)...)
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// clients tells whether the addresses that Portway sees are those of clients.
func clients(ctx context.Context, e discovery.Engine, info system.Info) Report {
	const about, why = "client addresses", "rules about addresses and rate limits would take all of them for one client"
	if slices.Contains(info.SecurityOptions, "name=rootless") || info.OperatingSystem == "Docker Desktop" {
		return Report{{Warning, about, "this engine forwards published ports by a program of its own, which hides who the client is", why, "use network_mode: host, or a rootless port driver that keeps addresses"}}
	}
	hostname, _ := os.Hostname()
	self, err := e.ContainerInspect(ctx, hostname)
	if err != nil || self.NetworkSettings == nil || self.HostConfig == nil || self.HostConfig.NetworkMode.IsHost() {
		return nil // in no container, or one whose sockets are the host's
	}
	return throughProxy(self, info.ServerVersion)
}

// ip6tables is the first version of the engine that forwards ports for IPv6 itself without
// being told so.
const ip6tables = "27.0"

// throughProxy tells whether clients by IPv6 come by Docker's userland proxy: the ports are
// published for IPv6, and the engine cannot send them on to such an address.
func throughProxy(self container.InspectResponse, version string) Report {
	f := Finding{Good, "client addresses", "are those of clients, by IPv6 too", "", ""}
	const why = "rules about addresses and rate limits would take all of them for one client"
	has := false
	for _, n := range self.NetworkSettings.Networks {
		has = has || n != nil && n.GlobalIPv6Address != ""
	}
	switch {
	case !publishesIPv6(self):
		f.What = "are those of clients, which come by IPv4 only"
	case !has:
		f = Finding{
			Warning, f.About, "clients by IPv6 come through Docker's userland proxy, with the address of the network's gateway", why,
			"give Portway's network IPv6 (enable_ipv6: true, and ip6tables in the engine's settings), or use network_mode: host",
		}
	case version != "" && versions.LessThan(version, ip6tables):
		f = Finding{
			Unknown, f.About, "an engine of version " + version + " sends clients by IPv6 through its userland proxy, with the address of the network's gateway, unless its settings say otherwise", why,
			`see that /etc/docker/daemon.json has "ip6tables": true and "experimental": true, or update the engine`,
		}
	}
	return Report{f}
}

func publishesIPv6(self container.InspectResponse) bool {
	for _, bindings := range self.NetworkSettings.Ports {
		for _, b := range bindings {
			if ip, err := netip.ParseAddr(b.HostIP); err == nil && ip.Is6() {
				return true
			}
		}
	}
	return false
}
