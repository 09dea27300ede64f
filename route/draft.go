package route

import (
	"maps"
	"slices"
	"strings"

	"portway/label"
)

// Draft is what somebody wrote for one route. Parse makes the route of it, again
// whenever a bundle that it uses has changed. It is never changed itself.
type Draft struct {
	Name string   // the route's name; empty for a container's default route
	Uses []string // the bundles that it takes, in order

	source   string
	key      func(option string) string
	values   label.Values
	defaults label.Values // of its file
	static   bool         // of a file, for an origin that is no container
	fault    label.Problem
	rejected bool // for its fault, or for what is wrong with all routes of its container
}

// Written is what the labels of one container say.
type Written struct {
	Drafts  []Draft // sorted by name
	Bundles []Bundle
	Off     bool // portway.enable: false; there is nothing else then
	Default bool // its default route has its host from the rule for those without

	// Problems tells about labels for which it is not clear to which route they
	// belong (a misspelt prefix, a route without host): as each may be a misspelt
	// protection, all routes of the container are rejected then.
	Problems []label.Problem
}

// The options that tell which settings count at all.
const (
	enableOption   = "enable"
	useOption      = "use"
	defaultsOption = "defaults"
)

// sharing binds the options that tell which settings of others count.
type sharing struct {
	enable, defaults bool
	use              []string
}

var _ label.Binder = (*sharing)(nil)

// Labels binds the options. Only their values' form is looked at here: they have
// had their effect before a route is parsed.
func (o *sharing) Labels(s *label.Set) {
	s.Bool(&o.enable, enableOption, true,
		"`false` leaves a container alone, as if it had no label for Portway; said of a named route, only that route. `true` alone serves it at the [default host](#a-host-for-every-container).")
	s.List(&o.use, useOption,
		"Bundles whose options count for this route too. A later one wins over an earlier one, and what the route says itself over all.",
		label.Example("internal, fast"))
	s.Bool(&o.defaults, defaultsOption, true,
		"`false` leaves out the defaults that the setting `default` or the route's file has for all routes.")
}

// Read splits the labels of one container into routes and bundles; labels of
// others are ignored. defaultHost gives the host for a container that is to be
// served and names none; it may be nil.
func (p *Parser) Read(source string, labels map[string]string, defaultHost func() (string, error)) *Written {
	w := &Written{}
	if strings.TrimSpace(labels[label.Key("", enableOption)]) == "false" {
		w.Off = true
		return w
	}
	own := p.readBundles(source, labels, w)
	groups, problems := p.schema.Group(source, own)
	w.Problems = append(w.Problems, problems...)
	enabled := p.enabled(source, groups, w)
	told := p.addHost(source, groups, enabled, defaultHost, w)
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		d := Draft{Name: name, source: source, key: func(option string) string { return label.Key(name, option) }, values: groups[name]}
		d.Uses = uses(d.values)
		if !p.namesHost(d.values) && (!told || name != "") {
			w.Problems = append(w.Problems, p.noHost(source, name, groups))
		}
		w.Drafts = append(w.Drafts, d)
	}
	if len(w.Problems) > 0 {
		for i := range w.Drafts {
			w.Drafts[i].rejected = true
		}
	}
	return w
}

// enabled takes enable out of groups where it has its effect, and named routes
// that are switched off with it. It tells whether the container asks to be served.
func (p *Parser) enabled(source string, groups map[string]label.Values, w *Written) bool {
	for name, values := range groups {
		if name != "" && strings.TrimSpace(values[enableOption]) == "false" {
			delete(groups, name)
		}
	}
	value, given := groups[""][enableOption]
	if !given {
		return false
	}
	delete(groups[""], enableOption)
	if len(groups[""]) == 0 {
		delete(groups, "")
	}
	if strings.TrimSpace(value) != "true" {
		w.Problems = append(w.Problems, label.Problem{
			Source: source, Key: label.Key("", enableOption), Why: label.Quote(value) + " is neither true nor false",
			Fix: "write false to have this container left alone, or remove it",
		})
		return false
	}
	return true
}

// addHost gives the default route a host, if no route of the container has one. It
// tells whether it said why there is none.
func (p *Parser) addHost(source string, groups map[string]label.Values, enabled bool, defaultHost func() (string, error), w *Written) (told bool) {
	for _, values := range groups {
		if p.namesHost(values) {
			return false
		}
	}
	if !enabled && groups[""] == nil {
		return false
	}
	problem := label.Problem{Source: source, Key: label.Key("", hostOption), Why: "is missing"}
	switch {
	case defaultHost != nil:
		host, err := defaultHost()
		if err == nil {
			if groups[""] == nil {
				groups[""] = make(label.Values)
			}
			groups[""][hostOption] = host
			w.Default = true
			return false
		}
		problem.Why += ", and the setting default-host gives none: " + err.Error()
		problem.Fix = "add it, for example " + problem.Key + ": app.example.com"
	case groups[""] != nil:
		return false // noHost tells it better
	default:
		problem.Fix = "add it, for example " + problem.Key + ": app.example.com, or give all containers a host by the setting default-host"
	}
	w.Problems = append(w.Problems, problem)
	return true
}

// Off tells whether the route is switched off, by enable: false.
func (d *Draft) Off() bool { return d.static && strings.TrimSpace(d.values[enableOption]) == "false" }

// ReadValues takes one route from a static file. key turns an option's name into
// what the user wrote, defaults are those of the file.
func (p *Parser) ReadValues(source, name string, key func(option string) string, values, defaults label.Values) Draft {
	d := Draft{Name: name, Uses: uses(values), source: source, key: key, values: values, defaults: defaults, static: true}
	if !p.namesHost(values) {
		d.rejected = true
		d.fault = label.Problem{Source: source, Key: key(hostOption), Why: "is missing", Fix: "add a host for the route, for example app.example.com"}
	}
	return d
}

func uses(values label.Values) []string {
	value, given := values[useOption]
	if !given {
		return nil
	}
	names := strings.Split(value, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}
