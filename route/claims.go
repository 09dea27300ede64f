package route

import (
	"slices"
	"strconv"
	"strings"

	"portway/label"
)

// claim is what only one route can have, or several that share it.
type claim struct {
	host, path string
	kind       PathKind
	criteria   string
}

// String gives the claim as a person would type it into a browser, as far as
// one could.
func (c claim) String() string {
	text := c.host
	switch {
	case c.kind == Pattern:
		text += " " + hostPattern + c.path
	case c.kind == Exact:
		text += c.path + " (exactly)"
	case c.path != "/":
		text += c.path
	}
	if c.criteria != "" { // whose values may be secrets between a client and a site
		text += " with the same criteria"
	}
	return text
}

// settlement is what one route gets of what it claims.
type settlement struct {
	held    []string // hosts that requests find it by
	shared  []string // hosts where it is a member of another route
	members []Member // of this route; Member.Route is the one that was given
	refused []refusal
}

// refusal is a claim that a route does not get.
type refusal struct {
	claim claim
	why   reason
	other *Route // who has the claim, if that is why
}

type reason uint8

const (
	taken     reason = iota // by a route that does not share
	unweighed               // by one that shares with routes that have a weight, and this one has none, or the other way round
	alone                   // nobody is there to share with
	partly                  // who has it has other hosts too
	tooMuch                 // canaries get more than all requests
)

// settle decides who gets each claim, and adds a Problem for each route that
// lost some.
func (t *Table) settle(routes []*Route) []settlement {
	s := settler{
		routes:     routes,
		order:      byRight(routes),
		holders:    make(map[claim]int, len(routes)),
		settlement: make([]settlement, len(routes)),
		joined:     make(map[[2]int][]claim),
	}
	s.hold()
	s.join()
	s.share()
	for i, r := range routes {
		if len(r.Hosts) == 0 {
			t.problems = append(t.problems, label.Problem{Source: r.Source, Why: "has no host, so no request can reach it", Fix: "add a host"})
		}
		if n := &s.settlement[i]; r.live() {
			t.reportRefused(r, n.refused, len(n.held)+len(n.shared) > 0)
		}
	}
	return s.settlement
}

// byRight orders routes by their right to a claim: the live ones first, and
// among them who was there first.
func byRight(routes []*Route) []int {
	order := make([]int, 0, len(routes))
	for _, wantLive := range []bool{true, false} {
		for i, r := range routes {
			if r.live() == wantLive {
				order = append(order, i)
			}
		}
	}
	return order
}

// settler works on indices of routes.
type settler struct {
	routes     []*Route
	order      []int
	holders    map[claim]int
	settlement []settlement
	joined     map[[2]int][]claim // by holder and member
	pairs      [][2]int           // keys of joined, in order
}

// claims calls f for each claim of a route, once.
func (r *Route) claims(f func(claim)) {
	for i, host := range r.Hosts {
		if !slices.Contains(r.Hosts[:i], host) {
			f(claim{host, r.Path, r.PathKind, r.Match.identity()})
		}
	}
}

// hold gives each claim to the first route that can have it by itself; to a
// failover only if there is no such route.
func (s *settler) hold() {
	for _, failover := range []bool{false, true} {
		for _, i := range s.order {
			r := s.routes[i]
			if (r.Role == Failover) != failover || r.Role == Canary || r.Role == Mirror {
				continue
			}
			r.claims(func(c claim) {
				if _, has := s.holders[c]; !has {
					s.holders[c] = i
				}
			})
		}
	}
	for i, r := range s.routes {
		r.claims(func(c claim) {
			if holder, has := s.holders[c]; has && holder == i {
				s.settlement[i].held = append(s.settlement[i].held, c.host)
			}
		})
	}
}

// join finds for each route whose claims it shares.
func (s *settler) join() {
	for i, r := range s.routes {
		r.claims(func(c claim) {
			holder, has := s.holders[c]
			switch {
			case !has:
				s.refuse(i, refusal{claim: c, why: alone})
			case holder == i:
			case r.Role == None && s.routes[holder].Role != Weight:
				s.refuse(i, refusal{c, taken, s.routes[holder]})
			case (r.Role == None || r.Role == Weight) && (s.routes[holder].Role == Weight) != (r.Role == Weight):
				s.refuse(i, refusal{c, unweighed, s.routes[holder]})
			default:
				pair := [2]int{holder, i}
				if s.joined[pair] == nil {
					s.pairs = append(s.pairs, pair)
				}
				s.joined[pair] = append(s.joined[pair], c)
			}
		})
	}
}

// share makes routes that join members, if they share all that the holder
// holds: it has one set of members for all its requests.
func (s *settler) share() {
	canaries := make(map[int]int)
	for _, pair := range s.pairs {
		holder, i, claims := pair[0], pair[1], s.joined[pair]
		h, r := s.routes[holder], s.routes[i]
		why := reason(0)
		switch {
		case len(claims) < len(s.settlement[holder].held):
			why = partly
		case r.Role == Canary && canaries[holder]+r.Share > 100:
			why = tooMuch
		default:
			if r.Role == Canary {
				canaries[holder] += r.Share
			}
			m := &s.settlement[holder].members
			*m = append(*m, Member{Route: r, Role: r.Role, Share: r.Share})
			for _, c := range claims {
				s.settlement[i].shared = append(s.settlement[i].shared, c.host)
			}
			continue
		}
		for _, c := range claims {
			s.refuse(i, refusal{c, why, h})
		}
	}
}

func (s *settler) refuse(i int, r refusal) {
	s.settlement[i].refused = append(s.settlement[i].refused, r)
}

// reportRefused adds one Problem for each reason and each route that r lost
// claims to.
func (t *Table) reportRefused(r *Route, refused []refusal, served bool) {
	for len(refused) > 0 {
		first := refused[0]
		var names []string
		refused = slices.DeleteFunc(slices.Clone(refused), func(x refusal) bool {
			if x.why != first.why || x.other != first.other {
				return false
			}
			names = append(names, x.claim.String())
			return true
		})
		left := "this route is not served"
		if served {
			left = "only the other hosts of this route are served"
		}
		why, fix := first.words(r, names)
		t.problems = append(t.problems, label.Problem{Source: r.Source, Why: why + ", so that " + left, Fix: fix})
	}
}

// words says why r does not get what is named, and what to do.
func (x refusal) words(r *Route, names []string) (why, fix string) {
	what, is := strings.Join(names, ", "), " is"
	if len(names) > 1 {
		is = " are"
	}
	other := ""
	if x.other != nil {
		other = x.other.Source
		if other == r.Source {
			other = "its route " + x.other.Name
		}
	}
	switch x.why {
	case unweighed:
		without := other
		if r.Role == None {
			without = "this route"
		}
		return what + is + " already served by " + other + ", and " + without + " has no weight",
			"give each of the two a weight to share the requests, or change the host or the path of one of them"
	case alone:
		return "there is no other route for " + what + " of which this one could be the " + string(r.Role),
			"start the other route with the same host and path, or remove " + string(r.Role)
	case partly:
		return what + is + " shared with " + other + ", which serves other hosts too", "give both routes the same hosts"
	case tooMuch:
		return "the canaries of " + other + " would get more than 100% of its requests", "make canary smaller than " + strconv.Itoa(r.Share) + "%"
	default:
		return what + is + " already served by " + other,
			"change the host or the path of one of the two"
	}
}
