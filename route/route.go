// Package route says what is served: routes with their upstreams, compiled
// once into an immutable Table that requests look up without locks or
// allocation.
package route

import "portway/label"

// Scheme is how an upstream is spoken to.
type Scheme string

// The schemes of an upstream.
const (
	HTTP  Scheme = "http"  // HTTP/1.1
	HTTPS Scheme = "https" // HTTP/2 or HTTP/1.1 over TLS, by ALPN
	H2C   Scheme = "h2c"   // HTTP/2 with prior knowledge, without TLS (gRPC)
)

// HTTPSMode says what plain-HTTP clients of a route get.
type HTTPSMode string

// The modes of a route towards plain HTTP.
const (
	Redirect HTTPSMode = "redirect" // 308 to https (default)
	Only     HTTPSMode = "only"     // plain HTTP gets 404, as if there were no site
	Off      HTTPSMode = "off"      // served over plain HTTP; no certificate is obtained
)

// Options is what labels and static files can say about a route itself.
type Options struct {
	Hosts   []string // as written; see CompileHost
	Path    string
	Port    int
	Scheme  string
	Network string
	HTTPS   string
}

var _ label.Binder = (*Options)(nil)

// Labels binds the options of a route.
func (o *Options) Labels(s *label.Set) { panic("not yet") }

// State says whether an upstream can be given requests.
type State uint8

// The states of an upstream. Only Ready gets requests.
const (
	Ready State = iota
	Starting
	Unhealthy
	Paused
	Stopping
	Stopped
)

// String names the state for people.
func (s State) String() string { panic("not yet") }

// Upstream is one replica of an origin.
type Upstream struct {
	ID      string // stable identity, for example container ID and port: live state is keyed by it
	Name    string // for people: the container's name, or the URL of a static origin
	Network string // "tcp" or "unix"
	Address string // "172.18.0.3:80" or "/run/app.sock"
	Scheme  Scheme
	State   State
	Reason  string // why it is not Ready, for people; may be empty
}

// Route is one site, or one path of a site, and where its requests go. It is
// never changed once it is in a Table.
type Route struct {
	ID        string   // stable identity across tables: "compose:blog/web/default", "container:<name>/api", "file:nas.yaml/nas"
	Name      string   // for people, e.g. "blog/web" or "blog/web (api)"
	Source    string   // for people, as in label.Problem
	Hosts     []string // normalised: lower case, punycode, no port; "*.example.com" for a wildcard
	Path      string   // normalised prefix: "/" or "/api" without a trailing slash
	HTTPS     HTTPSMode
	Upstreams []Upstream // sorted by ID

	// Middleware holds what binders beyond Options read from the labels, in the
	// order of discovery.Config.Middleware. Package proxy compiles it into the
	// route's chain; this package only carries it.
	Middleware []label.Binder

	// Index is the place of the route in Table.Routes, set by NewTable.
	Index int
}

// Table is an immutable set of routes.
type Table struct{}

// NewTable compiles routes. Where two routes claim the same host and path, the
// earlier in the slice wins and the later one's claim becomes a Problem.
// problems are those found before, while reading labels and files.
func NewTable(routes []*Route, problems []label.Problem) *Table { panic("not yet") }

// Lookup finds the route for a host (as sent: any case, perhaps with port and
// trailing dot) and path. The exact host goes before wildcards, the longer
// wildcard before the shorter, then the longest path prefix on a segment
// boundary. known tells whether any route has the host, for a better 404.
// It does not allocate.
func (t *Table) Lookup(host, path []byte) (r *Route, known bool) { panic("not yet") }

// Routes returns all routes in a stable order, Route.Index being the place.
func (t *Table) Routes() []*Route { panic("not yet") }

// Problems returns what was rejected, and why.
func (t *Table) Problems() []label.Problem { panic("not yet") }

// Names returns, sorted and without duplicates, the hosts that need a
// certificate: those of routes whose HTTPS is not Off.
func (t *Table) Names() []string { panic("not yet") }

// CompileHost normalises a host as a user writes it, or says what is wrong
// with it.
func CompileHost(host string) (string, error) { panic("not yet") }
