package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"portway/label"
	"portway/route"
)

// protections are the options that keep somebody out.
var protections = []string{"basic-auth", "forward-auth", "ip.allow", "ip.deny", "tls.client-auth"}

// addressed are those that go by the client's address.
var addressed = []string{"ip.allow", "ip.deny", "match.client"}

// answering are options by which the origin is not asked.
var answering = []string{"redirect", "respond", "maintenance"}

// lookAtProtection tells where a protection is asked for that others get past.
func (l *linter) lookAtProtection(t *route.Table) {
	for _, r := range t.Routes() {
		asked := given(r.Settings, protections)
		if len(asked) == 0 && len(given(r.Settings, addressed)) == 0 {
			continue
		}
		s := l.serviceOf(t, r)
		if s == nil {
			continue
		}
		l.publishedPorts(t, r, s, asked)
		l.otherWays(t, r, s, asked)
		l.addresses(r, s)
		if r.HTTPS == route.Off && slices.Contains(asked, "basic-auth") {
			l.add(Finding{
				Level: Warning, Rule: "plain-password",
				Why: "passwords of basic-auth cross the network in the clear, since https is off",
				Fix: "remove the label " + keyOf(r, "https"),
			}.of(s, keyOf(r, "basic-auth")))
		}
	}
}

// given lists which of some options are said.
func given(settings []route.Setting, options []string) []string {
	var found []string
	for _, o := range options {
		if x := setting(settings, o); x != nil && x.Value != "off" {
			found = append(found, o)
		}
	}
	return found
}

// keyOf is the label that says an option of r, or would.
func keyOf(r *route.Route, option string) string {
	if x := setting(r.Settings, option); x != nil && strings.HasPrefix(x.Key, label.Prefix) {
		return x.Key
	}
	return label.Key(routeName(r), option)
}

// routeName is what labels call r; empty for a default route.
func routeName(r *route.Route) string {
	name := r.ID[strings.LastIndex(r.ID, "/")+1:]
	if name == "default" {
		return ""
	}
	return strings.TrimSuffix(name, ".")
}

// serviceOf finds the service that a route leads to, nil for those of static files.
func (l *linter) serviceOf(t *route.Table, r *route.Route) *service {
	for _, source := range t.Sources() {
		for _, part := range source.Parts {
			if part.RouteID == r.ID {
				return l.byContainer(source.Source)
			}
		}
	}
	return nil
}

// publishedPorts tells where clients need not come through Portway.
func (l *linter) publishedPorts(t *route.Table, r *route.Route, s *service, asked []string) {
	if len(asked) == 0 {
		return
	}
	for _, source := range t.Sources() {
		if l.byContainer(source.Source) != s {
			continue
		}
		for _, part := range source.Parts {
			if part.RouteID != r.ID {
				continue
			}
			for _, p := range s.Ports {
				ip, _ := netip.ParseAddr(p.HostIP)
				if int(p.Target) != part.Choice.Port || p.Protocol == "udp" || ip.IsLoopback() {
					continue
				}
				where := "a port"
				if p.Published != "" {
					where = "port " + p.Published
				}
				l.add(Finding{
					Level: Warning, Rule: "published",
					Why: fmt.Sprintf("port %d is published as %s of the host too, where nobody is held to %s", p.Target, where, strings.Join(asked, ", ")),
					Fix: "remove it from ports: of the service; Portway does not need it",
				}.of(s, keyOf(r, asked[0])))
			}
		}
	}
}

// otherWays tells about routes that give what r protects without its protection.
func (l *linter) otherWays(t *route.Table, r *route.Route, s *service, asked []string) {
	for _, o := range t.Routes() {
		missing := slices.DeleteFunc(slices.Clone(asked), func(p string) bool { return setting(o.Settings, p) != nil })
		if o == r || len(missing) == 0 || !covers(o, r) || len(given(o.Settings, answering)) > 0 || len(given(o.Settings, protections)) > 0 {
			continue
		}
		same := sharesUpstream(r, o)
		for _, host := range o.Hosts {
			held := slices.Contains(r.Hosts, host)
			if !held && !same || held && !goesBefore(o, r) {
				continue
			}
			why := fmt.Sprintf("the same is served at %s%s without %s, by the route %s", host, shown(o.Path), strings.Join(missing, ", "), o.Name)
			if held {
				why = fmt.Sprintf("requests for %s%s that fit the route %s go there, without %s", host, shown(o.Path), o.Name, strings.Join(missing, ", "))
			}
			l.add(Finding{
				Level: Warning, Rule: "unprotected", Why: why,
				Fix: "give that route the same labels, for example by a bundle, or remove it",
			}.of(s, keyOf(r, missing[0])))
			break
		}
	}
}

// covers tells whether all paths of r are paths of o.
func covers(o, r *route.Route) bool {
	if o.PathKind != route.Prefix {
		return false
	}
	return o.Path == "/" || r.PathKind != route.Pattern && (r.Path == o.Path || strings.HasPrefix(r.Path, o.Path+"/"))
}

// goesBefore tells whether requests that fit both get to o.
func goesBefore(o, r *route.Route) bool {
	if o.Priority != r.Priority {
		return o.Priority > r.Priority
	}
	return o.Path == r.Path && hasCriteria(o) && !hasCriteria(r)
}

func hasCriteria(r *route.Route) bool {
	return slices.ContainsFunc(r.Settings, func(s route.Setting) bool { return strings.HasPrefix(s.Option, "match.") })
}

func sharesUpstream(a, b *route.Route) bool {
	return slices.ContainsFunc(a.Upstreams, func(u route.Upstream) bool {
		return slices.ContainsFunc(b.Upstreams, func(v route.Upstream) bool { return u.ID == v.ID })
	})
}

// shown is a path as one adds it to a host.
func shown(path string) string {
	if path == "/" {
		return ""
	}
	return path
}

// addresses tells where those of clients are not known, or anybody's to choose.
func (l *linter) addresses(r *route.Route, s *service) {
	by := given(r.Settings, addressed)
	if len(by) == 0 || l.portway == nil {
		return
	}
	f := Finding{Level: Warning, Rule: "client-address"}
	switch {
	case l.settings.TrustsAll:
		f.Why = "goes by the client's address, and trusted-proxies believes whatever address anybody claims"
		f.Fix = "give PORTWAY_TRUSTED_PROXIES the addresses of your own proxies only"
	case !l.portway.published() && !l.settings.InFront:
		f.Why = "goes by the client's address, but Portway publishes no port: what is in front of it is the client, whoever comes through it"
		f.Fix = "set PORTWAY_TRUSTED_PROXIES to the address of the proxy in front, or publish Portway's ports"
	default:
		return
	}
	l.add(f.of(s, keyOf(r, by[0])))
}
