package lint

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"portway/route"
)

// lookAtAuthServices tells where Portway cannot find the service that it is to ask about
// each request: then nobody gets in.
func (l *linter) lookAtAuthServices(t *route.Table) {
	mode, networks := l.place()
	if mode == "" && networks == nil {
		return // there is a note about it
	}
	for _, r := range t.Routes() {
		x := setting(r.Settings, "forward-auth")
		s := l.serviceOf(t, r)
		if x == nil || x.Hidden || s == nil {
			continue
		}
		u, err := url.Parse(x.Value)
		if err != nil || u.Hostname() == "" {
			continue
		}
		if f, ok := l.authService(u, mode, networks); ok {
			f.Rule = "auth-service"
			l.add(f.of(s, keyOf(r, "forward-auth")))
		}
	}
}

// place is the network mode of Portway and the networks that it is on; both are empty if
// nothing says so.
func (l *linter) place() (mode string, networks []string) {
	if l.portway == nil {
		return "", l.cfg.Networks
	}
	m, networks := l.portway.networks(l)
	return string(m), networks
}

// authService looks for the service that an URL names.
func (l *linter) authService(u *url.URL, mode string, networks []string) (Finding, bool) {
	name := u.Hostname()
	var found *service
	var on []string // of networks, as what is found
	for _, s := range l.services {
		for network, names := range s.knownAs(l) {
			if !slices.Contains(names, name) {
				continue
			}
			if slices.Contains(networks, network) && mode != "host" {
				return Finding{}, false
			}
			found, on = s, append(on, network)
		}
	}
	slices.Sort(on)
	on = slices.Compact(on)
	switch {
	case found != nil && mode == "host":
		return Finding{
			Level: Error, Why: fmt.Sprintf("names the service %q, but Portway is on the host's network, where names of services are not known", name),
			Fix: "publish a port of that service at 127.0.0.1, and name that",
		}, true
	case found != nil && len(on) > 0:
		return Finding{
			Level: Error, Why: fmt.Sprintf("names the service %q, which shares no network with Portway: it is on %s, Portway on %s; so nobody gets in",
				name, strings.Join(on, ", "), orNone(networks)),
			Fix: "name a network of Portway's below networks: of that service, or the other way round",
		}, true
	case found != nil || mode == "host" || l.portway != nil && l.hasHost(name):
		return Finding{}, false
	case name == "localhost" || strings.HasPrefix(name, "127."):
		return Finding{
			Level: Warning, Why: "names " + name + ", which is Portway's own container",
			Fix: "name the service that is to be asked, as other services would: http://NAME:PORT",
		}, l.portway != nil && !slices.ContainsFunc(l.services, func(s *service) bool { return s.NetworkMode == ofService+l.portway.Name })
	case !strings.Contains(name, ".") && !strings.Contains(name, ":"):
		return Finding{
			Level: Note, Why: fmt.Sprintf("names %q, which no service here is called, so whether Portway finds it is not looked at", name),
			Fix: "add the compose file of that service",
		}, true
	}
	return Finding{}, false
}

// knownAs gives, for each network of the service, the names by which others find it there.
func (s *service) knownAs(l *linter) map[string][]string {
	all := make(map[string][]string)
	_, on := s.networks(l)
	for _, network := range on {
		switch network {
		case "host", "none", "bridge": // where no names are known
			continue
		}
		all[network] = []string{s.Name, s.container}
	}
	for key, config := range s.Networks {
		network := key
		if n, ok := s.project.Networks[key]; ok && n.Name != "" {
			network = n.Name
		}
		if config != nil && all[network] != nil {
			all[network] = append(all[network], config.Aliases...)
		}
	}
	return all
}

// hasHost tells whether Portway itself is told where a host is.
func (l *linter) hasHost(name string) bool {
	_, ok := l.portway.ExtraHosts[name]
	return ok
}

func orNone(networks []string) string {
	if len(networks) == 0 {
		return "none"
	}
	return strings.Join(networks, ", ")
}
