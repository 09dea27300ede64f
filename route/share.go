package route

import (
	"strconv"
	"strings"

	"portway/label"
)

// Role says how a route shares its claims (its hosts with its path and
// criteria) with other routes that claim the same.
type Role string

// The roles of a route.
const (
	None     Role = ""         // it has its claims to itself, but for canaries, mirrors and failovers
	Weight   Role = "weight"   // each of several routes gets requests in proportion to its Share
	Canary   Role = "canary"   // gets Share percent of the holder's requests
	Mirror   Role = "mirror"   // gets a copy of Share percent of the holder's requests; its answers are discarded
	Failover Role = "failover" // gets the requests for which the holder has no usable replica
)

// Member is a route that shares all claims of another one, its holder. A request
// finds the holder; its middleware comes first and the member's own after it.
type Member struct {
	Route *Route // as in Table.Routes
	Role  Role   // that of Route: Weight, Canary, Mirror or Failover
	Share int    // that of Route
}

// MaxWeight is the largest weight of a route.
const MaxWeight = 1000

// share binds the options that say how routes share a claim. One of them at most
// can be given.
func (o *Options) share(s *label.Set) {
	take := func(role Role, share int) error {
		if o.Role != None {
			return &label.Error{Why: "cannot be given together with " + string(o.Role), Fix: "remove one of the two"}
		}
		o.Role, o.Share = role, share
		return nil
	}
	percent := func(role Role) func(string) error {
		return func(value string) error {
			n, ok := strings.CutSuffix(value, "%")
			share, err := strconv.Atoi(strings.TrimSpace(n))
			if !ok || err != nil || share < 1 || share > 100 {
				return &label.Error{Why: label.Quote(value) + " is no share of requests", Fix: "write a whole number of percent from 1% to 100%"}
			}
			return take(role, share)
		}
	}
	var weight int
	s.Int(&weight, "weight", 0, "Share the requests with other routes for the same host and path, in proportion to the weights, which each of them needs.",
		label.Range(1, MaxWeight), label.Example("3"))
	s.Check("weight", func() error { return take(Weight, weight) })
	s.Func("canary", "percentage", "Get this share of the requests of another route for the same host and path.", percent(Canary), label.Example("10%"))
	s.Func("mirror", "percentage",
		"Get a copy of this share of the requests of another route for the same host and path. Visitors never see its answers.", percent(Mirror), label.Example("10%"))
	var failover bool
	s.Bool(&failover, "failover", false,
		"Get the requests of another route for the same host and path while none of its replicas can be used, or all of them while there is no other route.",
		label.Example("true"))
	s.Check("failover", func() error {
		if !failover {
			return nil
		}
		return take(Failover, 0)
	})
}
