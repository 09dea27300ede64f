package route

import (
	"maps"
	"slices"
	"strings"

	"portway/label"
)

// Parser reads routes from labels and from static files by the same rules. It
// may be used from several goroutines.
type Parser struct {
	middleware func() []label.Binder
	schema     *label.Schema
	own        map[string]bool                      // the options of Options
	needs      map[string][]string                  // what options need, see label.Needs
	secrets    []string                             // the options that are secret
	shown      map[string]func(value string) string // see label.Shown
	defaults   label.Values                         // for all routes
	places     bool                                 // there is a database of countries
}

// NewParser makes a Parser that knows Options and what middleware binds.
// middleware makes new binders for each route; it may be nil.
func NewParser(middleware func() []label.Binder) *Parser {
	if middleware == nil {
		middleware = func() []label.Binder { return nil }
	}
	binders := append([]label.Binder{&Options{}, &sharing{}}, middleware()...)
	p := &Parser{middleware: middleware, schema: label.Describe(binders...), own: make(map[string]bool), needs: make(map[string][]string), shown: make(map[string]func(string) string)}
	for _, o := range label.Describe(&Options{}).Options() {
		p.own[o.Name] = true
	}
	for _, o := range p.schema.Options() {
		if len(o.Needs) > 0 {
			p.needs[o.Name] = o.Needs
		}
		if o.Secret {
			p.secrets = append(p.secrets, o.Name)
		}
		if o.Shown != nil {
			p.shown[o.Name] = o.Shown
		}
	}
	return p
}

// WithDefaults returns a Parser that gives values to all routes which do not say
// otherwise. See CheckShared.
func (p *Parser) WithDefaults(values label.Values) *Parser {
	with := *p
	with.defaults = values
	return &with
}

// WithPlaces returns a Parser that knows of a database of countries, without which
// routes that ask for one are rejected.
func (p *Parser) WithPlaces() *Parser {
	with := *p
	with.places = true
	return &with
}

// Parsed is what labels or a file say about one route.
type Parsed struct {
	Name     string          // the route's name; empty for a container's default route
	Options  Options         // what is needed to find its upstreams
	Problems []label.Problem // why it is rejected, if it is
	Files    []string        // that its secrets were read from
	Settings []Setting       // all that counts for it, for people

	// Route has all set but ID, Name and Upstreams, which are the caller's to add.
	// It is nil if the route is rejected: serving it could mean serving it without
	// a protection that was asked for.
	Route *Route
}

// Schema lists every option that p knows.
func (p *Parser) Schema() *label.Schema { return p.schema }

// Labels reads and parses all routes of one container, see Read, where there are no
// bundles but its own.
func (p *Parser) Labels(source string, labels map[string]string) (routes []Parsed, problems []label.Problem) {
	w := p.Read(source, labels, nil)
	for i := range w.Drafts {
		routes = append(routes, p.Parse(&w.Drafts[i], w.bundle))
	}
	return routes, w.Problems
}

// bundle finds a bundle among those that the same container defines.
func (w *Written) bundle(name string) InForce {
	for _, b := range w.Bundles {
		if b.Name == name && !b.Broken {
			return InForce{Values: b.Values, Source: b.Source}
		}
	}
	return InForce{Why: "which this container does not define"}
}

// Values reads and parses one route of a static file, see ReadValues, where there
// are no bundles.
func (p *Parser) Values(source, name string, key func(option string) string, values label.Values) Parsed {
	d := p.ReadValues(source, name, key, values, nil)
	return p.Parse(&d, (&Written{}).bundle)
}

// Parse makes the route of d. bundle tells what counts for each bundle that d uses.
func (p *Parser) Parse(d *Draft, bundle func(name string) InForce) Parsed {
	r := Parsed{Name: d.Name, Options: Options{places: p.places}}
	layers, problems, complete := p.layers(d, bundle)
	values, from := p.merge(d, layers)
	middleware := p.middleware()
	r.Problems = label.Parse(d.source, d.key, values, append([]label.Binder{&r.Options, &sharing{}}, middleware...)...)
	good := len(r.Problems) == 0 && complete && !d.rejected
	for option, where := range from {
		for i := range r.Problems {
			if p := &r.Problems[i]; p.Key == d.key(option) {
				p.Why = "from " + where + ": " + p.Why
			}
		}
	}
	r.Problems = append(r.Problems, problems...)
	if d.fault != (label.Problem{}) {
		r.Problems = append(r.Problems, d.fault)
	}
	r.Files = p.files(values)
	r.Settings = p.settings(d, values, from)
	if good && len(r.Options.Hosts) > 0 {
		r.Route = &Route{
			Source: d.source, Hosts: r.Options.Hosts, Path: r.Options.Path, PathKind: r.Options.PathKind,
			Match: r.Options.Match, Priority: r.Options.Priority, HTTPS: r.Options.HTTPS, TLS: r.Options.TLS,
			Role: r.Options.Role, Share: r.Options.Share, Middleware: middleware, Settings: r.Settings,
		}
	}
	return r
}

// files lists the files that secrets are in.
func (p *Parser) files(values label.Values) []string {
	var all []string
	for _, option := range p.secrets {
		if path, ok := label.SecretFile(values[option]); ok {
			all = append(all, path)
		}
	}
	return all
}

// namesHost tells whether the user gave a host, even one that is misspelt and
// reported as such.
func (p *Parser) namesHost(values label.Values) bool {
	for option := range values {
		if near := p.schema.Nearest(option); near == hostOption || near == hostPatternOption {
			return true
		}
	}
	return false
}

// noHost words the Problem of a route that cannot be reached, by what the user
// probably had in mind.
func (p *Parser) noHost(source, name string, groups map[string]label.Values) label.Problem {
	key := label.Key(name, hostOption)
	given := slices.Sorted(maps.Keys(groups[name]))[0]
	problem := label.Problem{Source: source, Key: key, Why: "is missing", Fix: "add it, for example " + key + ": app.example.com"}
	if option, known := p.bundled(given); known && label.Nearest(name, []string{bundleWord}) != "" {
		problem.Fix = "did you mean " + label.Key(bundleWord, option) + "?"
		return problem
	}
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(groups)), func(other string) bool { return !p.namesHost(groups[other]) })
	if len(others) == 0 {
		return problem
	}
	meant := others[0]
	if near := label.Nearest(name, others); near != "" {
		meant = near
	}
	problem.Why = "is missing, so that " + label.Key(name, given) + " belongs to no route, and no route of this container is served"
	problem.Fix = "add it, or did you mean " + label.Key(meant, given) + "?"
	return problem
}

// bundled tells whether what follows a route's name is rather the name of a bundle
// and an option.
func (p *Parser) bundled(rest string) (corrected string, ok bool) {
	name, option, dotted := strings.Cut(rest, ".")
	if near := p.schema.Nearest(option); dotted && near != "" && p.schema.Nearest(rest) != rest {
		return name + "." + near, true
	}
	return "", false
}
