// Package route says what is served: routes with their upstreams, compiled
// once into an immutable Table that requests look up without locks or
// allocation. A Parser reads the matching part of routes from labels and from
// static files alike.
package route

import (
	"slices"

	"portway/label"
)

// HTTPSMode says what plain-HTTP clients of a route get.
type HTTPSMode string

// The modes of a route towards plain HTTP.
const (
	Redirect HTTPSMode = "redirect" // 308 to https (default)
	Only     HTTPSMode = "only"     // plain HTTP gets 404, as if there were no site
	Off      HTTPSMode = "off"      // served over plain HTTP; no certificate is obtained
)

// Route is one site, or one path of a site, and where its requests go. It is
// never changed once it is in a Table.
type Route struct {
	ID        string   // stable identity across tables: "compose:blog/web/default", "container:<name>/api", "file:nas.yaml/nas"
	Name      string   // for people, e.g. "blog/web" or "blog/web (api)"
	Source    string   // for people, as in label.Problem
	Hosts     []string // as CompileHost gives them: lower case, punycode, no port, no brackets; "*.example.com" for a wildcard; "~" and a regular expression
	Path      string   // as CompilePath gives it: "/", or a prefix like "/api" without a trailing slash; a pattern if PathKind says so
	PathKind  PathKind
	Match     Match // what requests must have besides
	Priority  int   // of the routes of a host that fit, the one with the highest gets a request
	HTTPS     HTTPSMode
	TLS       TLS        // wishes for the certificates of Hosts
	Upstreams []Upstream // sorted by ID
	Role      Role       // how it shares its claims with others
	Share     int        // Weight: 1 to MaxWeight; Canary and Mirror: percent, 1 to 100

	// Middleware holds what binders beyond Options read from the labels, in the
	// order of discovery.Config.Middleware. Package proxy compiles it into the
	// route's chain; this package only carries it.
	Middleware []label.Binder

	// Settings are what was said about the route, for people.
	Settings []Setting

	// Members are the routes that share all claims of this one, in the order in which
	// they were given to NewTable, which sets them. If there are some with Role
	// Weight, the Role of this one is Weight too.
	Members []Member

	// Index is the place of the route in Table.Routes, set by NewTable.
	Index int
}

// live tells whether any upstream is more than a memory.
func (r *Route) live() bool {
	return slices.ContainsFunc(r.Upstreams, func(u Upstream) bool { return u.State != Stopped })
}
