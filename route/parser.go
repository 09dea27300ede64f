package route

import (
	"maps"
	"slices"

	"portway/label"
)

// Parser reads routes from labels and from static files by the same rules. It
// may be used from several goroutines.
type Parser struct {
	middleware func() []label.Binder
	schema     *label.Schema
}

// NewParser makes a Parser that knows Options and what middleware binds.
// middleware makes new binders for each route; it may be nil.
func NewParser(middleware func() []label.Binder) *Parser {
	if middleware == nil {
		middleware = func() []label.Binder { return nil }
	}
	binders := append([]label.Binder{&Options{}}, middleware()...)
	return &Parser{middleware: middleware, schema: label.Describe(binders...)}
}

// Parsed is what labels or a file say about one route.
type Parsed struct {
	Name     string          // the route's name; empty for a container's default route
	Options  Options         // what is needed to find its upstreams
	Problems []label.Problem // why it is rejected, if it is

	// Route has Source, Hosts, Path, HTTPS and Middleware set; ID, Name and
	// Upstreams are the caller's to add. It is nil if the route is rejected:
	// serving it could mean serving it without a protection that was asked for.
	Route *Route
}

// Schema lists every option that p knows.
func (p *Parser) Schema() *label.Schema { return p.schema }

// Labels reads all routes of one container, sorted by name; labels of others
// are ignored, so that a container without labels for Portway has no routes.
//
// problems tells about labels for which it is not clear to which route they
// belong (a misspelt prefix, a route without host): as each may be a misspelt
// protection, all routes of the container are rejected then.
func (p *Parser) Labels(source string, labels map[string]string) (routes []Parsed, problems []label.Problem) {
	groups, problems := p.schema.Group(source, labels)
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		key := func(option string) string { return label.Key(name, option) }
		r := p.parse(source, name, key, groups[name])
		if !p.namesHost(groups[name]) {
			problems = append(problems, p.noHost(source, name, groups))
		}
		routes = append(routes, r)
	}
	if len(problems) > 0 {
		for i := range routes {
			routes[i].Route = nil
		}
	}
	return routes, problems
}

// Values reads one route from a static file. key turns an option's name into
// what the user wrote.
func (p *Parser) Values(source, name string, key func(option string) string, values label.Values) Parsed {
	r := p.parse(source, name, key, values)
	if !p.namesHost(values) {
		r.Route = nil
		r.Problems = append(r.Problems, label.Problem{
			Source: source, Key: key(hostOption), Why: "is missing", Fix: "add a host for the route, for example app.example.com",
		})
	}
	return r
}

func (p *Parser) parse(source, name string, key func(string) string, values label.Values) Parsed {
	r := Parsed{Name: name}
	middleware := p.middleware()
	r.Problems = label.Parse(source, key, values, append([]label.Binder{&r.Options}, middleware...)...)
	if len(r.Problems) == 0 && len(r.Options.Hosts) > 0 {
		r.Route = &Route{
			Source: source, Hosts: r.Options.Hosts, Path: r.Options.Path, HTTPS: r.Options.HTTPS,
			Role: r.Options.Role, Share: r.Options.Share, Middleware: middleware,
		}
	}
	return r
}

// namesHost tells whether the user gave a host, even one that is misspelt and
// reported as such.
func (p *Parser) namesHost(values label.Values) bool {
	for option := range values {
		if p.schema.Nearest(option) == hostOption {
			return true
		}
	}
	return false
}

// noHost words the Problem of a route that cannot be reached, by what the user
// probably had in mind.
func (p *Parser) noHost(source, name string, groups map[string]label.Values) label.Problem {
	key := label.Key(name, hostOption)
	problem := label.Problem{Source: source, Key: key, Why: "is missing", Fix: "add it, for example " + key + ": app.example.com"}
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(groups)), func(other string) bool { return !p.namesHost(groups[other]) })
	if len(others) == 0 {
		return problem
	}
	meant := others[0]
	if near := label.Nearest(name, others); near != "" {
		meant = near
	}
	given := slices.Sorted(maps.Keys(groups[name]))[0]
	problem.Why = "is missing, so that " + label.Key(name, given) + " belongs to no route, and no route of this container is served"
	problem.Fix = "add it, or did you mean " + label.Key(meant, given) + "?"
	return problem
}
