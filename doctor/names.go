package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"portway/certs/preflight"
)

// Names are hosts whose DNS is to lead here.
type Names struct {
	Hosts   []string // a wildcard stands for a name below it
	Checker *preflight.Checker
	Own     []netip.Addr // addresses of this machine, or container: see Addresses
	Public  []netip.Addr // those that it is reached at, as the user said; none: nothing was said
	Serving string       // where Portway itself listens for plain HTTP (host:port); empty: nobody does
	Port    int          // where visitors come by plain HTTP; 0: 80
	ByDNS   bool         // CAs look at the DNS only, so that private addresses are as good
}

const (
	namesAtOnce = 8
	namesMost   = 200
	namesLimit  = 30 * time.Second
)

// Addresses are those of this machine's interfaces, in a container those of the container.
func Addresses() (own []netip.Addr) {
	all, _ := net.InterfaceAddrs() // none: then nothing is known
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own
}

// Look looks at all of them.
func (n Names) Look(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, namesLimit)
	defer cancel()
	hosts := n.Hosts
	var rest Report
	if more := len(hosts) - namesMost; more > 0 {
		hosts = hosts[:namesMost]
		rest = Report{{Unknown, "DNS", fmt.Sprintf("%d more names are not looked at", more), "", ""}}
	}
	us := ""
	if n.Serving != "" && len(hosts) > 0 {
		us, _, _ = n.Checker.Ask(ctx, hosts[0], n.Serving)
	}
	all := make(Report, len(hosts))
	places := make(chan struct{}, namesAtOnce)
	var g sync.WaitGroup
	for i, host := range hosts {
		places <- struct{}{}
		g.Go(func() {
			all[i] = n.name(ctx, host, us)
			<-places
		})
	}
	g.Wait()
	return append(all, rest...)
}

// name looks at one; us is what this machine's own Portway answers with.
func (n Names) name(ctx context.Context, host, us string) Finding {
	about := "DNS of " + host
	const lost = "neither visitors nor the CA find it"
	asked := host
	if base, ok := strings.CutPrefix(host, "*."); ok {
		asked = "portway-doctor." + base
	}
	addresses, exists, err := n.Checker.Lookup(ctx, asked)
	switch {
	case err != nil:
		return Finding{Unknown, about, "cannot be looked up from here: " + err.Error(), "", "check the DNS servers of this machine (/etc/resolv.conf)"}
	case !exists:
		return Finding{Bad, about, "there is no such name (NXDOMAIN)", lost, n.create(host)}
	case len(addresses) == 0:
		return Finding{Bad, about, "has no address", lost, n.create(host)}
	}
	all := Finding{Status: Good, About: about}
	for _, a := range addresses {
		f := n.address(ctx, asked, a, us)
		if all.What != "" {
			all.What += ", "
		}
		all.What += f.What
		if severity(f.Status) > severity(all.Status) {
			all.Status, all.Why, all.Fix = f.Status, f.Why, f.Fix
		}
	}
	return all
}

func severity(s Status) int {
	return map[Status]int{Good: 0, Unknown: 1, Warning: 2, Bad: 3}[s]
}

// create says which records there should be.
func (n Names) create(host string) string {
	v4, v6 := n.known(true), n.known(false)
	if v4 == nil && v6 == nil {
		return "create a DNS record (A, AAAA) for " + host + " with the address at which this machine is reached"
	}
	var records []string
	for _, x := range []struct {
		kind string
		list []netip.Addr
	}{{"A", v4}, {"AAAA", v6}} {
		if x.list != nil {
			records = append(records, fmt.Sprintf("%s. %s %s", host, x.kind, x.list[0]))
		}
	}
	return "create a DNS record: " + strings.Join(records, " and ")
}

// known are the addresses of one family at which the internet may reach this machine.
func (n Names) known(v4 bool) (found []netip.Addr) {
	from := n.Public
	if from == nil {
		from = n.Own
	}
	for _, a := range from {
		if a.Is4() == v4 && (n.Public != nil || !inside(a)) {
			found = append(found, a)
		}
	}
	return found
}

// inside tells whether an address is one that nobody on the internet comes to.
func inside(a netip.Addr) bool {
	return !a.IsGlobalUnicast() || a.IsPrivate() || netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a)
}

// address tells whether one that the DNS names leads here.
func (n Names) address(ctx context.Context, host string, a netip.Addr, us string) Finding {
	for _, mine := range append(n.known(a.Is4()), n.Own...) {
		if mine != a {
			continue
		}
		if inside(a) && n.Public == nil && !n.ByDNS {
			return Finding{
				Status: Warning, What: fmt.Sprintf("leads to %s, which is this machine, but only inside of your network", a),
				Why: "a public CA cannot come there", Fix: "have names certified by DNS (--dns-provider), or point the record to the public address",
			}
		}
		f := Finding{Status: Good, What: fmt.Sprintf("leads to %s, which is this machine", a)}
		// That nothing answers at a router's outer address is no sign: many lead nobody back in.
		if who, found := n.whoAnswers(ctx, host, a, us); us != "" && who != itself && (found || slices.Contains(n.Own, a)) {
			f.Status, f.What = Warning, f.What+", but "+who
			f.Why, f.Fix = "a CA that comes there does not get to Portway", "see that no firewall is in between, and that port 80 is published for Portway's container"
		}
		return f
	}
	who, found := n.whoAnswers(ctx, host, a, us)
	if who == itself {
		return Finding{Status: Good, What: fmt.Sprintf("leads to %s, where %s", a, itself)}
	}
	return n.elsewhere(a, us != "", found, who)
}

// itself is who answers where all is well.
const itself = "this Portway answers"

// whoAnswers tells who is at the port for plain HTTP of an address; found is whether anybody
// is. us is what this Portway answers with.
func (n Names) whoAnswers(ctx context.Context, host string, a netip.Addr, us string) (who string, found bool) {
	port := cmp.Or(n.Port, 80)
	if us == "" {
		return "", false
	}
	token, status, err := n.Checker.Ask(ctx, host, net.JoinHostPort(a.String(), strconv.Itoa(port)))
	switch {
	case err != nil:
		return fmt.Sprintf("nothing answers at port %d there", port), false
	case token == us:
		return itself, true
	case token != "":
		return fmt.Sprintf("another Portway answers at port %d there", port), true
	}
	return fmt.Sprintf("something else than Portway answers at port %d there (%s)", port, status), true
}

// elsewhere judges an address that is none of this machine's, as far as that can be known.
func (n Names) elsewhere(a netip.Addr, asked, found bool, who string) Finding {
	const why = "visitors and the CA come to another machine"
	what := fmt.Sprintf("leads to %s", a)
	if asked {
		what += " (" + who + ")"
	}
	mine, other := n.known(a.Is4()), n.known(!a.Is4())
	switch {
	case mine != nil:
		f := Finding{
			Status: Warning, What: fmt.Sprintf("%s, and not to this machine, %s", what, mine[0]), Why: why,
			Fix: fmt.Sprintf("let the record be %s, unless a load balancer or CDN at %s sends its requests here", mine[0], a),
		}
		if n.Public != nil {
			f.Status, f.Fix = Bad, fmt.Sprintf("let the record be %s", mine[0])
		}
		return f
	case other != nil && a.Is6():
		return Finding{
			Status: Warning, What: what + ", and this machine has no public IPv6 address",
			Why: "visitors and CAs with IPv6 try that one first", Fix: "remove the AAAA record, or give this machine that address",
		}
	case found:
		return Finding{Status: Warning, What: what, Why: why, Fix: "let the record be the address at which this machine is reached, or let port 80 there lead to Portway"}
	}
	return Finding{
		Status: Unknown, What: what + fmt.Sprintf("; whether that leads here cannot be known from inside, since this machine has private addresses only (%s)", n.private(a.Is4())),
		Fix: "compare it with the address that your router has, or say that: portway doctor --public-address ADDRESS",
	}
}

// private names an address that this machine has inside.
func (n Names) private(v4 bool) string {
	for _, a := range n.Own {
		if a.Is4() == v4 && a.IsGlobalUnicast() {
			return a.String()
		}
	}
	for _, a := range n.Own {
		if a.IsGlobalUnicast() {
			return a.String()
		}
	}
	return "none"
}
