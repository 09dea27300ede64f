package doctor

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"portway/certs/preflight"
	"portway/internal/dnstest"
)

// TestNames: what the DNS says of a host, against what is known of this machine.
func TestNames(t *testing.T) {
	t.Parallel()
	dns := dnstest.Start(t, map[string]string{"example.com": `
good A 198.51.100.1
away A 203.0.113.9
six A 198.51.100.1
six AAAA 2001:db8::9
empty TXT x
inside A 10.0.0.2
here A 127.0.0.1
*.wild A 198.51.100.1
`})
	c := preflight.New([]string{dns.Addr})
	here := httptest.NewServer(c.Handler())
	defer here.Close()
	another := httptest.NewServer(preflight.New(nil).Handler())
	defer another.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	public, private := []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("10.0.0.2")}, []netip.Addr{netip.MustParseAddr("10.0.0.2")}
	said, loopback := public[:1], []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	port := func(s *httptest.Server) int {
		return int(netip.MustParseAddrPort(strings.TrimPrefix(s.URL, "http://")).Port())
	}
	serving := strings.TrimPrefix(here.URL, "http://")
	for _, x := range []struct {
		host  string
		names Names
		want  Status
		parts string // of the line
	}{
		{"good.example.com", Names{Own: public}, Good, "leads to 198.51.100.1, which is this machine"},
		{"good.example.com", Names{Own: private, Public: said}, Good, "which is this machine"},
		{"a.wild.example.com", Names{Own: public}, Good, "which is this machine"},
		{"*.wild.example.com", Names{Own: public}, Good, "DNS of *.wild.example.com: leads to 198.51.100.1"},
		{"*.example.com", Names{Own: public}, Bad, "NXDOMAIN"},
		{"away.example.com", Names{Own: public}, Warning, "leads to 203.0.113.9, and not to this machine, 198.51.100.1; visitors and the CA come to another machine; let the record be 198.51.100.1, unless"},
		{"away.example.com", Names{Own: private, Public: said}, Bad, "let the record be 198.51.100.1"},
		{"away.example.com", Names{Own: private}, Unknown, "has private addresses only (10.0.0.2); compare it"},
		{"six.example.com", Names{Own: public}, Warning, "which is this machine, leads to 2001:db8::9, and this machine has no public IPv6 address; visitors and CAs with IPv6 try that one first; remove the AAAA record"},
		{"six.example.com", Names{Own: private}, Unknown, "leads to 2001:db8::9; whether"},
		{"none.example.com", Names{Own: public}, Bad, "no such name (NXDOMAIN); neither visitors nor the CA find it; create a DNS record: none.example.com. A 198.51.100.1"},
		{"none.example.com", Names{Own: private}, Bad, "with the address at which this machine is reached"},
		{"empty.example.com", Names{Own: public}, Bad, "has no address"},
		{"inside.example.com", Names{Own: public}, Warning, "only inside of your network"},
		{"inside.example.com", Names{Own: public, ByDNS: true}, Good, "which is this machine"},
		{"here.example.com", Names{Own: private, Serving: serving, Port: port(here)}, Good, "where this Portway answers"},
		{"here.example.com", Names{Own: private, Serving: serving, Port: port(another)}, Warning, "another Portway answers at port"},
		{"here.example.com", Names{Own: private, Serving: serving, Port: port(other)}, Warning, "there (404 Not Found)"},
		{"here.example.com", Names{Own: private, Serving: serving, Port: port(closed)}, Unknown, "nothing answers at port"},
		{"here.example.com", Names{Own: loopback, Public: loopback, Serving: serving, Port: port(here)}, Good, "which is this machine"},
		{"here.example.com", Names{Own: loopback, Public: loopback, Serving: serving, Port: port(closed)}, Warning, "which is this machine, but nothing answers at port"},
		{"here.example.com", Names{Own: private, Public: loopback, Serving: serving, Port: port(closed)}, Good, "which is this machine"}, // as behind a router
		{"here.example.com", Names{Own: private, Public: loopback, Serving: serving, Port: port(other)}, Warning, "which is this machine, but something else than Portway"},
		{"good.example.com", Names{Own: public, Checker: preflight.New([]string{serving})}, Unknown, "cannot be looked up from here"},
	} {
		if x.names.Checker == nil {
			x.names.Checker = c
		}
		x.names.Hosts = []string{x.host}
		r := x.names.Look(t.Context())
		if len(r) != 1 || r[0].Status != x.want || !strings.Contains(r[0].String(), x.parts) {
			t.Errorf("want %s with %q: %v", x.want, x.parts, r)
		}
	}
	many := Names{Hosts: make([]string, namesMost+2), Checker: c, Own: public}
	for i := range many.Hosts {
		many.Hosts[i] = "good.example.com"
	}
	if r := many.Look(t.Context()); len(r) != namesMost+1 || r[namesMost].What != "2 more names are not looked at" {
		t.Errorf("%d lines, the last %v", len(r), r[len(r)-1])
	}
}

// TestGateway: clients that all come with the address of a gateway, and others.
func TestGateway(t *testing.T) {
	t.Parallel()
	const v4 = "Iface\tDestination\tGateway \tFlags\neth0\t00000000\t010011AC\t0003\neth0\t000011AC\t00000000\t0001\n"
	const v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n"
	g := gateways(v4, v6)
	four, six := netip.MustParseAddr("172.17.0.1"), netip.MustParseAddr("fd00::1")
	if len(g) != 2 || g[0] != four || g[1] != six {
		t.Fatalf("%v", g)
	}
	client := netip.MustParseAddr("192.0.2.1")
	mapped := netip.MustParseAddr("::ffff:172.17.0.1")
	for _, x := range []struct {
		clients []netip.Addr
		want    Status
	}{
		{[]netip.Addr{four, four, mapped}, Warning},
		{[]netip.Addr{six, six, six}, Warning},
		{[]netip.Addr{four, four, client}, Good},
		{[]netip.Addr{four, four}, ""},
	} {
		r := seen(x.clients, g)
		if x.want == "" && r != nil || x.want != "" && (len(r) != 1 || r[0].Status != x.want) {
			t.Errorf("%v: %v", x.clients, r)
		}
	}
}

// TestUDPBuffer: each limit that is too low is named.
func TestUDPBuffer(t *testing.T) {
	t.Parallel()
	if f := judgeUDP(udpBuffer, udpBuffer); f.Status != Good {
		t.Errorf("%s", f)
	}
	if f := judgeUDP(212992, udpBuffer); f.Status != Warning || !strings.HasSuffix(f.Fix, "sysctl -w net.core.rmem_max=7340032") {
		t.Errorf("%s", f)
	}
	if f := judgeUDP(212992, 212992); !strings.HasSuffix(f.Fix, "sysctl -w net.core.rmem_max=7340032 net.core.wmem_max=7340032") || !strings.Contains(f.What, "208 KiB to receive and 208 KiB to send") {
		t.Errorf("%s", f)
	}
	if f := UDPBuffer(); f.Status == Unknown {
		t.Errorf("%s", f)
	}
}
