package discovery

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"portway/label"
	"portway/route"
)

// vantage is where Portway looks at containers from.
type vantage struct {
	// inside is whether Portway is in a container with networks of its own, as
	// opposed to the host's network or another machine.
	inside   bool
	name     string       // of its container, if it is inside
	networks []attachment // of its container
	unknown  bool         // it is inside, and its networks are not known yet

	// remote is the engine's host, where Portway is on another one.
	remote string
	// published is whether only published ports can be reached: the engine is on
	// another machine, or in a virtual one, or without root.
	published bool
}

func (v *vantage) equal(o *vantage) bool {
	return v.inside == o.inside && v.name == o.name && v.unknown == o.unknown && v.remote == o.remote && v.published == o.published &&
		slices.Equal(v.networks, o.networks)
}

// trouble is why a container cannot be reached.
type trouble struct {
	option  string // of the route, which it is about; may be empty
	missing bool   // the option is not given, and is needed
	passing bool   // nobody has to do anything about it while the container is not ready anyway
	why     string
	fix     string // KEY stands for the label of the option
}

// swarmIngress is the network that spreads published ports over a Swarm; it
// does not connect containers with each other.
const swarmIngress = "ingress"

// address finds where to reach a container that runs.
func (v *vantage) address(a attachments, project string, o route.Options) (c route.Choice, t *trouble) {
	c.Port, c.PortWhy, t = a.port(o.Port)
	if t != nil {
		return c, t
	}
	if v.unknown {
		return c, &trouble{passing: true, why: "it is not known yet which networks Portway is on", fix: "wait until the engine can tell about Portway's own container"}
	}
	if a.mode == "host" {
		c.Why = "it uses the host's network"
		ip, t := v.host()
		c.Address = join(ip, c.Port)
		return c, t
	}
	if v.published {
		c.Why = "only published ports of this engine's containers can be reached from here"
		c.Address, t = v.publishedAt(a, c.Port)
		return c, t
	}
	n, why, t := v.network(a, project, o.Network)
	c.Why = why
	if t != nil {
		if t.option == "network" && t.missing && !v.inside {
			// Any of several networks would do, and so does the published port.
			if addr, other := v.publishedAt(a, c.Port); other == nil {
				c.Address, c.Why = addr, "the container is on several networks, and this is its published port"
				return c, nil
			}
		}
		return c, t
	}
	c.Network = n.name
	if !n.ip.IsValid() {
		return c, &trouble{passing: true, why: fmt.Sprintf("has no address on network %q", n.name), fix: "wait until it has started, or attach it to the network again"}
	}
	c.Address = join(n.ip.String(), c.Port)
	return c, nil
}

func join(host string, port int) string {
	if host == "" {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// port chooses the container's port, and says why it is that.
func (a attachments) port(want int) (port int, why string, t *trouble) {
	if want != 0 {
		return want, "the label says so", nil
	}
	if len(a.exposed) == 1 {
		return a.exposed[0], "it is the only port that the container exposes", nil
	}
	var published []int
	for _, b := range a.published {
		if !slices.Contains(published, b.port) {
			published = append(published, b.port)
		}
	}
	if len(published) == 1 {
		return published[0], "it is the only port that is published", nil
	}
	if len(a.exposed) == 0 && len(published) == 0 {
		return 0, "", &trouble{
			option: "port", missing: true, why: "the container exposes no TCP port",
			fix: "say which port the application listens on, for example KEY: 8080",
		}
	}
	candidates := a.exposed
	if len(candidates) == 0 {
		candidates = published
	}
	texts := make([]string, len(candidates))
	for i, p := range candidates {
		texts[i] = strconv.Itoa(p)
	}
	return 0, "", &trouble{
		option: "port", missing: true, why: "the container exposes several ports: " + strings.Join(texts, ", "),
		fix: "say which one, for example KEY: " + texts[0],
	}
}

// host finds where the host itself can be reached.
func (v *vantage) host() (string, *trouble) {
	switch {
	case v.remote != "":
		return v.remote, nil
	case !v.inside:
		return "127.0.0.1", nil
	}
	for _, n := range v.networks {
		if n.gateway.IsValid() {
			return n.gateway.String(), nil
		}
	}
	return "", &trouble{
		why: "uses the host's network, which Portway cannot reach: none of its networks has a gateway (" + namesOf(v.networks) + ")",
		fix: "attach Portway to a network that is not internal",
	}
}

// publishedAt finds the published port of a container's port.
func (v *vantage) publishedAt(a attachments, port int) (string, *trouble) {
	host := cmp.Or(v.remote, "127.0.0.1")
	for _, b := range a.published {
		switch {
		case b.port != port:
		case !b.hostIP.IsValid() || b.hostIP.IsUnspecified():
			return join(host, b.host), nil
		case v.remote == "" || !b.hostIP.IsLoopback():
			return join(b.hostIP.String(), b.host), nil
		}
	}
	return "", &trouble{
		why: fmt.Sprintf("its port %d is not published, and nothing else of it can be reached from here", port),
		fix: fmt.Sprintf("publish it (ports: [\"%d\"]), or run Portway as a container on the same engine", port),
	}
}

// network chooses the network to reach a container through, and says why it is that.
func (v *vantage) network(a attachments, project, want string) (n attachment, why string, t *trouble) {
	networks := slices.DeleteFunc(slices.Clone(a.networks), func(n attachment) bool { return n.name == swarmIngress || n.name == "none" })
	if len(networks) == 0 {
		fix := "attach it to a network"
		if v.inside {
			fix += " of Portway's: " + namesOf(v.networks)
		}
		return attachment{}, "", &trouble{why: "is on no network", fix: fix}
	}
	if want != "" {
		return v.wanted(networks, project, want)
	}
	usable := networks
	if v.inside {
		usable = slices.DeleteFunc(slices.Clone(networks), func(n attachment) bool { return !v.shares(n) })
		if len(usable) == 0 {
			return attachment{}, "", &trouble{
				why: fmt.Sprintf("shares no network with Portway: it is on %s, Portway on %s", namesOf(networks), namesOf(v.networks)),
				fix: fmt.Sprintf("attach one of them to a network of the other, for example docker network connect %s %s", networks[0].name, v.name),
			}
		}
	}
	if len(usable) == 1 {
		if v.inside {
			return usable[0], "it is the only network that the container shares with Portway", nil
		}
		return usable[0], "it is the only network that the container is on", nil
	}
	// Compose gives a container the network that its project names first (by
	// priority, then by name) as its mode, and attaches the others afterwards.
	if i := slices.IndexFunc(usable, func(n attachment) bool { return n.name == a.mode }); i >= 0 && project != "" {
		return usable[i], "it is the network that the Compose project names first for the container", nil
	}
	why = "the container is on several networks: "
	if v.inside {
		why = "the container shares several networks with Portway: "
	}
	return attachment{}, "", &trouble{
		option: "network", missing: true, why: why + namesOf(usable),
		fix: "say which one, for example KEY: " + usable[0].name,
	}
}

// wanted finds the network that portway.network names, in full or as the
// Compose project calls it.
func (v *vantage) wanted(networks []attachment, project, want string) (n attachment, why string, t *trouble) {
	for _, name := range []string{want, project + "_" + want} {
		i := slices.IndexFunc(networks, func(n attachment) bool { return n.name == name })
		if i < 0 {
			continue
		}
		if v.inside && !v.shares(networks[i]) {
			return attachment{}, "", &trouble{
				option: "network", why: fmt.Sprintf("names %q, which Portway is not on; it is on %s", name, namesOf(v.networks)),
				fix: "attach Portway to it: docker network connect " + name + " " + v.name,
			}
		}
		return networks[i], "the label says so", nil
	}
	return attachment{}, "", &trouble{
		option: "network", why: fmt.Sprintf("names %q, which the container is not on", want),
		fix: "use one that it is on: " + namesOf(networks),
	}
}

// shares tells whether Portway is on n too. A container that was never started
// does not know the IDs of its networks yet.
func (v *vantage) shares(n attachment) bool {
	return slices.ContainsFunc(v.networks, func(own attachment) bool {
		if own.id != "" && n.id != "" {
			return own.id == n.id
		}
		return own.name == n.name
	})
}

func namesOf(networks []attachment) string {
	if len(networks) == 0 {
		return "none"
	}
	names := make([]string, len(networks))
	for i, n := range networks {
		names[i] = n.name
	}
	return strings.Join(names, ", ")
}

// problem words t for one route of a container.
func (t *trouble) problem(source, routeName string) label.Problem {
	p := label.Problem{Source: source, Why: t.why, Fix: t.fix}
	if t.option != "" {
		p.Key = label.Key(routeName, t.option)
		p.Fix = strings.ReplaceAll(p.Fix, "KEY", p.Key)
	}
	if t.missing {
		p.Why = "is missing, and " + p.Why
	}
	return p
}

// reason words t for the upstream.
func (t *trouble) reason(routeName string) string {
	if t.option != "" && !t.missing {
		return "cannot be reached: " + label.Key(routeName, t.option) + " " + t.why
	}
	return "cannot be reached: " + t.why
}

// compareBindings puts what anybody can reach first, and IPv4 before IPv6.
func compareBindings(a, b binding) int {
	rank := func(ip netip.Addr) int {
		switch {
		case ip.IsUnspecified() || !ip.IsValid():
			return 0
		case ip.Is4():
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(rank(a.hostIP), rank(b.hostIP)), a.hostIP.Compare(b.hostIP), cmp.Compare(a.host, b.host))
}
