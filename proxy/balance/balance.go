// Package balance shares the requests of a route among its replicas: what users
// can say about it, and the algorithms that choose.
package balance

import "portway/label"

// Algorithm is a way to choose a replica.
type Algorithm string

// The algorithms.
const (
	RoundRobin Algorithm = "round-robin" // one after the other
	LeastConn  Algorithm = "least-conn"  // the one with the fewest requests in flight
)

// Options is what labels and static files can say about balancing.
type Options struct {
	Algorithm Algorithm
}

var _ label.Binder = (*Options)(nil)

// Labels binds the options of balancing.
func (o *Options) Labels(s *label.Set) {
	label.Enum(s, &o.Algorithm, "balance", RoundRobin, []Algorithm{RoundRobin, LeastConn},
		"How requests are shared among the replicas: one after the other, or to the one with the fewest requests in flight.",
		label.Example("least-conn"))
}
