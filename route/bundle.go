package route

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"portway/label"
)

// Bundle is a named set of options that routes take by the option use.
type Bundle struct {
	Name     string
	Source   string // who defines it
	Values   label.Values
	Broken   bool            // it cannot be used
	Problems []label.Problem // why, where nobody else reports it
}

// bundleWord is the first word of labels that define bundles:
// portway.bundle.<name>.<option>.
const bundleWord = "bundle"

// Equal tells whether both say the same, whoever says it.
func (b *Bundle) Equal(o *Bundle) bool {
	return b.Name == o.Name && maps.Equal(b.Values, o.Values)
}

// BundleKey returns the label that sets an option of a bundle.
func BundleKey(name, option string) string {
	return label.Prefix + bundleWord + "." + name + "." + option
}

// shared tells whether an option can be said for many routes at once: all can that
// are about what happens to requests, and not those that tell which requests a route
// gets, and what its container is.
func (p *Parser) shared(option string) bool {
	switch option {
	case "https", "scheme", "network":
		return true
	case enableOption, useOption, defaultsOption:
		return false
	}
	return !p.own[option] || strings.HasPrefix(option, "tls.")
}

// CheckShared tells what is wrong with values that are to count for several routes:
// a bundle, or defaults. Options which need others may be without these, since a
// route can have them.
func (p *Parser) CheckShared(source string, key func(option string) string, values label.Values) []label.Problem {
	var problems []label.Problem
	part := maps.Clone(values)
	for _, option := range slices.Sorted(maps.Keys(values)) {
		if p.schema.Nearest(option) == option && !p.shared(option) {
			delete(part, option)
			problems = append(problems, label.Problem{
				Source: source, Key: key(option), Why: "is what each route says for itself", Fix: "remove it here, and give it to the routes",
			})
		}
	}
	var o Options
	return append(problems, label.ParsePart(source, key, part, append([]label.Binder{&o, &sharing{}}, p.middleware()...)...)...)
}

// readBundles takes the definitions of bundles out of a container's labels, and
// returns the others.
func (p *Parser) readBundles(source string, labels map[string]string, w *Written) map[string]string {
	const start = label.Prefix + bundleWord + "."
	bundles := make(map[string]label.Values)
	var own map[string]string
	for key, value := range labels {
		rest, ok := strings.CutPrefix(key, start)
		if !ok && key != strings.TrimSuffix(start, ".") {
			continue
		}
		if own == nil {
			own = maps.Clone(labels)
		}
		delete(own, key)
		name, option, _ := strings.Cut(rest, ".")
		if !label.ValidName(name) || option == "" {
			w.Problems = append(w.Problems, label.Problem{
				Source: source, Key: key, Why: "names no option of a bundle",
				Fix: "write " + start + "<name>.<option>, for example " + BundleKey("internal", "ip.allow") + ", and use a-z, 0-9 and - for the name",
			})
			continue
		}
		if bundles[name] == nil {
			bundles[name] = make(label.Values)
		}
		bundles[name][option] = value
	}
	if own == nil {
		return labels
	}
	for _, name := range slices.Sorted(maps.Keys(bundles)) {
		problems := p.CheckShared(source, func(option string) string { return BundleKey(name, option) }, bundles[name])
		w.Bundles = append(w.Bundles, Bundle{Name: name, Source: source, Values: bundles[name], Broken: len(problems) > 0, Problems: problems})
	}
	slices.SortFunc(w.Problems, func(a, b label.Problem) int { return strings.Compare(a.Key, b.Key) })
	return own
}

// InForce is what counts for the name of a bundle at the moment.
type InForce struct {
	Values label.Values // nil: nothing does, and a route that takes it is rejected
	Source string       // who defines it
	Why    string       // what is wrong with it, as in label.Problem; empty: nothing
	Fix    string
}

// layer is what a route takes over from elsewhere.
type layer struct {
	values   label.Values
	from     string // for people
	defaults bool   // for all, whatever they say
}

// layers collects what counts for d beside what it says itself, the weakest first.
func (p *Parser) layers(d *Draft, bundle func(name string) InForce) (all []layer, problems []label.Problem, complete bool) {
	complete = true
	if strings.TrimSpace(d.values[defaultsOption]) != "false" {
		if len(p.defaults) > 0 {
			all = append(all, layer{p.defaults, "the setting default", true})
		}
		if len(d.defaults) > 0 {
			all = append(all, layer{d.defaults, "the file's defaults", true})
		}
	}
	for _, name := range d.Uses {
		if name == "" {
			continue // reported as an empty item
		}
		b := bundle(name)
		if b.Why != "" {
			problems = append(problems, label.Problem{Source: d.source, Key: d.key(useOption), Why: "names " + label.Quote(name) + ", " + b.Why, Fix: b.Fix})
		}
		if b.Values == nil {
			complete = false
		}
		all = append(all, layer{b.Values, fmt.Sprintf("the bundle %s of %s", name, b.Source), false})
	}
	return all, problems, complete
}

// merge puts what d says itself over layers. It returns where each option that d
// does not say comes from.
func (p *Parser) merge(d *Draft, layers []layer) (values label.Values, from map[string]string) {
	if len(layers) == 0 {
		return d.values, nil
	}
	values, from = make(label.Values), make(map[string]string)
	defaults := make(map[string]bool)
	for _, l := range layers {
		for option, value := range l.values {
			if d.static && (option == "scheme" || option == "network") {
				continue // its origins say that
			}
			values[option], from[option] = value, l.from
			defaults[option] = l.defaults
		}
	}
	for option, value := range d.values {
		values[option] = value
		delete(from, option)
		delete(defaults, option)
	}
	// A default for a detail counts only where there is what it is a detail of.
	for again := true; again; {
		again = false
		for option := range defaults {
			if defaults[option] && !p.needed(option, values) {
				delete(values, option)
				delete(from, option)
				delete(defaults, option)
				again = true
			}
		}
	}
	return values, from
}

// needed tells whether values have one of the options that option needs, if it
// needs any.
func (p *Parser) needed(option string, values label.Values) bool {
	needs := p.needs[option]
	return len(needs) == 0 || slices.ContainsFunc(needs, func(other string) bool {
		_, given := values[other]
		return given
	})
}
