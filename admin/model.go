package admin

import (
	"strings"
	"time"

	"portway/label"
	"portway/route"
)

// Route is one site, or one path of a site.
type Route struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Source    string     `json:"source"`
	Hosts     []string   `json:"hosts"`
	Path      string     `json:"path"`
	HTTPS     string     `json:"https"`
	Upstreams []Upstream `json:"upstreams"`
	Cache     *Cache     `json:"cache,omitempty"` // nil: the route has none
}

// RouteDetail is a Route with all that is known about it.
type RouteDetail struct {
	Route
	PathKind     string        `json:"path_kind"` // prefix, exact or regexp
	Criteria     string        `json:"criteria"`  // what requests must have besides; empty: nothing
	Priority     int           `json:"priority"`
	Role         string        `json:"role"`  // how it shares its claims with others: weight, canary, mirror or failover; empty: it does not
	Share        int           `json:"share"` // its weight, or the percentage of a canary or mirror
	Members      []Member      `json:"members"`
	Chain        []Step        `json:"chain"`    // what happens to its requests, in order
	Settings     []Setting     `json:"settings"` // all that counts for it
	Problems     []Problem     `json:"problems"` // of what it comes from
	Certificates []Certificate `json:"certificates"`
	Failures     []Failure     `json:"failures"` // newest first
}

// Member is a route that shares the requests of another one.
type Member struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Role  string `json:"role"`
	Share int    `json:"share"`
}

// Step is a middleware, or another thing that is set for a route, named by the first
// word of its options.
type Step struct {
	Name     string    `json:"name"`
	Settings []Setting `json:"settings"`
}

// Setting is one option as somebody wrote it.
type Setting struct {
	Key    string `json:"key"`    // a label, or the place in a file
	Option string `json:"option"` // without prefix and route name; empty if it is not known which is meant
	Value  string `json:"value"`
	Hidden bool   `json:"hidden"` // the value is or may be a secret
	From   string `json:"from"`   // a bundle, or defaults; empty: the source itself
}

// Upstream is one replica of a route's origin.
type Upstream struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Address  string `json:"address"`
	Scheme   string `json:"scheme"`
	State    string `json:"state"`
	Reason   string `json:"reason,omitempty"`
	InFlight int64  `json:"in_flight"`
	LeftOut  string `json:"left_out,omitempty"` // why it gets no requests now though it is ready
	Probe    *Probe `json:"probe,omitempty"`    // whether its port answers; missing: not known yet
}

// Probe is what a look at an upstream's port has shown.
type Probe struct {
	Time    time.Time `json:"time"`
	Answers bool      `json:"answers"`
	Error   string    `json:"error,omitempty"`   // why it does not
	Instead []int     `json:"instead,omitempty"` // other ports of the same container that do
	Hint    string    `json:"hint,omitempty"`    // what to do
}

// Source is a container or a static file that discovery saw, served or not.
type Source struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"` // container or file
	Name      string    `json:"name"`
	Source    string    `json:"source"`  // as in Problem
	Service   string    `json:"service"` // whose replica it is
	Served    bool      `json:"served"`  // all routes that it asks for are there, and there is one
	State     string    `json:"state"`   // of a container
	Reason    string    `json:"reason,omitempty"`
	Left      string    `json:"left,omitempty"` // why nothing of it is to be served, where that is no mistake
	Labels    []Setting `json:"labels"`         // for Portway, as written
	Routes    []Part    `json:"routes"`         // that it asks for
	Problems  []Problem `json:"problems"`
	Mode      string    `json:"mode,omitempty"` // network mode
	Networks  []Network `json:"networks"`
	Exposed   []int     `json:"exposed"`
	Published []string  `json:"published"`
}

// RoutesServed counts those of its routes that are in the table.
func (s Source) RoutesServed() int {
	n := 0
	for _, r := range s.Routes {
		if r.Served {
			n++
		}
	}
	return n
}

// HostsAsked lists the hosts of its routes, served or not, as they are written.
func (s Source) HostsAsked() string {
	var all []string
	for _, r := range s.Routes {
		for _, set := range r.Settings {
			if set.Option == "host" || set.Option == "host.regexp" {
				all = append(all, set.Value)
			}
		}
	}
	return strings.Join(all, ", ")
}

// Part is a route that a Source asks for, whether or not there is one.
type Part struct {
	Name     string    `json:"name"`     // empty for the default route
	RouteID  string    `json:"route_id"` // empty if it is rejected
	Served   bool      `json:"served"`   // the route is in the table
	Settings []Setting `json:"settings"`
	Choice   Choice    `json:"choice"`
}

// Choice is where a container is reached, and why there.
type Choice struct {
	Address string `json:"address"`
	Network string `json:"network"`
	Port    int    `json:"port"`
	PortWhy string `json:"port_why"`
	Why     string `json:"why"`
}

// Network is a network that a container is on.
type Network struct {
	Name   string `json:"name"`
	IP     string `json:"ip"`
	Shared bool   `json:"shared"` // Portway can reach the container through it
}

// Problem is a label.Problem.
type Problem struct {
	Source string `json:"source"`
	Label  string `json:"label,omitempty"`
	Why    string `json:"why"`
	Fix    string `json:"fix,omitempty"`
}

// Failure is a request that Portway itself had to answer.
type Failure struct {
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id"`
	Client    string    `json:"client"`
	Method    string    `json:"method"`
	Host      string    `json:"host"`
	Path      string    `json:"path"`
	Route     string    `json:"route"`
	RouteID   string    `json:"route_id"` // empty if no route matched
	Status    int       `json:"status"`
	Told      string    `json:"told"`  // what the visitor was told
	Cause     string    `json:"cause"` // what was not told
}

func describeSettings(list []route.Setting) []Setting {
	all := make([]Setting, len(list))
	for i, s := range list {
		all[i] = Setting(s)
	}
	return all
}

func problem(p label.Problem) Problem {
	return Problem{Source: p.Source, Label: p.Key, Why: p.Why, Fix: p.Fix}
}
