package doctor

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Seen tells whether the clients of some requests all came with the address of a gateway,
// which is what Docker's userland proxy, and NAT without IPv6, make of them.
func Seen(clients []netip.Addr) Report {
	v4, _ := os.ReadFile("/proc/net/route") // without them nothing is said
	v6, _ := os.ReadFile("/proc/net/ipv6_route")
	return seen(clients, gateways(string(v4), string(v6)))
}

// enoughClients are so many that not all of them are likely to be of this machine.
const enoughClients = 3

func seen(clients, gateways []netip.Addr) Report {
	const about = "client addresses"
	by := make(map[netip.Addr]int)
	for _, c := range clients {
		by[c.Unmap()]++
	}
	for _, g := range gateways {
		n := by[g]
		if n < enoughClients || n < len(clients) {
			continue
		}
		return Report{{
			Warning, about, fmt.Sprintf("the last %d clients that were refused something all came with the address of the gateway, %s", n, g),
			"unless all of them were on this machine itself, rules about addresses and rate limits take everybody for one client",
			"see that Docker forwards ports itself (iptables and ip6tables on in the engine's settings, and enable_ipv6 for Portway's network), or use network_mode: host",
		}}
	}
	if len(clients) >= enoughClients && len(gateways) > 0 {
		return Report{{Good, about, "are those of clients, as far as the last refused requests show", "", ""}}
	}
	return nil
}

// gateways reads those of the kernel's tables; see proc_pid_net(5).
func gateways(v4, v6 string) (all []netip.Addr) {
	for line := range strings.Lines(v4) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if b, err := hex.DecodeString(f[2]); err == nil && len(b) == 4 {
			var a [4]byte
			binary.NativeEndian.PutUint32(a[:], binary.BigEndian.Uint32(b))
			all = append(all, netip.AddrFrom4(a))
		}
	}
	for line := range strings.Lines(v6) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		if b, err := hex.DecodeString(f[4]); err == nil && len(b) == 16 {
			all = append(all, netip.AddrFrom16([16]byte(b)))
		}
	}
	return slices.DeleteFunc(all, netip.Addr.IsUnspecified)
}
