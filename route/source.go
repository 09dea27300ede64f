package route

import (
	"slices"
	"strings"

	"portway/label"
)

// Source is a container or a static file that discovery saw, with what it says and
// what came of that, served or not. It is for people who look for a reason: no
// request is routed by it. It is never changed once it is in a Table.
type Source struct {
	ID      string // "container:<engine's ID>" or "file:<name>"
	Kind    SourceKind
	Name    string // of the container, or of the file
	Source  string // as in label.Problem; Problems about a line of a file have ":<line>" behind it
	Service string // whose replica a container is, as in Route.Name; its own name if it is alone

	State  State  // of a container
	Reason string // why it is not Ready
	Left   string // why nothing of it is to be served, where that is no mistake; empty otherwise

	Settings []Setting // a container's labels for Portway, as written
	Parts    []Part    // the routes that it asks for, sorted by name

	Mode      string    // a container's network mode
	Networks  []Network // that it is on
	Exposed   []int     // its TCP ports by EXPOSE
	Published []string  // its published ports, like "0.0.0.0:8080->80"
}

// SourceKind tells what a Source is.
type SourceKind string

// The kinds of sources.
const (
	Container SourceKind = "container"
	File      SourceKind = "file"
)

// Part is one route that a Source asks for, whether or not there is one.
type Part struct {
	Name     string    // of the route; empty for a container's default route
	RouteID  string    // empty if it is rejected
	Settings []Setting // what counts for it, from elsewhere too, sorted by option
	Upstream string    // ID of the upstream that a container is for the route
	Choice   Choice    // how a container is reached
}

// Choice is where discovery reaches a container, and why there.
type Choice struct {
	Address string // empty if it cannot be reached
	Network string // empty if it is not reached through one of its networks
	Port    int    // in the container; 0 if it is not known
	PortWhy string // why this port
	Why     string // why this address, or why none
}

// Network is a network that a container is on.
type Network struct {
	Name   string
	IP     string // empty while the container is not running
	Shared bool   // Portway can reach the container through it
}

// Setting is one option as somebody wrote it.
type Setting struct {
	Key    string // what was written: a label, or the place in a file
	Option string // without prefix and route name; empty if it is not known which is meant
	Value  string // empty if Hidden; parts that may be secrets are hidden in it
	Hidden bool   // it may be a secret
	From   string // who said it, if not the source itself: a bundle, or defaults
}

// Settings lists labels for Portway as they are written, sorted by key. The values
// of secret options are left out, and those of unknown ones, which may be misspelt
// secrets.
func (p *Parser) Settings(labels map[string]string) []Setting {
	_, problems := p.schema.Group("", labels)
	var all []Setting
	for key, value := range labels {
		rest, ours := strings.CutPrefix(key, label.Prefix)
		if !ours && !slices.ContainsFunc(problems, func(x label.Problem) bool { return x.Key == key }) {
			continue
		}
		option := ""
		if ours {
			option = p.optionIn(rest)
		}
		all = append(all, p.setting(key, option, value, ""))
	}
	slices.SortFunc(all, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// optionIn finds the option in a label without its prefix; empty if there is none.
func (p *Parser) optionIn(rest string) string {
	for range 3 { // as in bundle.<name>.<option>
		if p.schema.Nearest(rest) == rest {
			return rest
		}
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			break
		}
		rest = after
	}
	return ""
}

// setting hides what may be a secret.
func (p *Parser) setting(key, option, value, from string) Setting {
	s := Setting{Key: key, Option: option, Value: value, From: from}
	if option == "" || slices.Contains(p.secrets, option) {
		s.Value, s.Hidden = "", true
	} else if shown := p.shown[option]; shown != nil {
		s.Value = shown(value)
	}
	return s
}

// settings lists what counts for a route: values, with where those come from that d
// does not say itself.
func (p *Parser) settings(d *Draft, values label.Values, from map[string]string) []Setting {
	all := make([]Setting, 0, len(values))
	for option, value := range values {
		known := option
		if p.schema.Nearest(option) != option {
			known = ""
		}
		all = append(all, p.setting(d.key(option), known, value, from[option]))
	}
	slices.SortFunc(all, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	return all
}
