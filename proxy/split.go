package proxy

import (
	"slices"
	"sync/atomic"

	"portway/proxy/exchange"
	"portway/route"
)

// split stands between a route's middleware and its origin, and shares the
// requests with the members of the route, if there are some. It outlives tables.
type split struct {
	origin *origin
	plan   atomic.Pointer[plan] // nil: no members
	turn   atomic.Uint64        // of the next visitor without a member
	copied atomic.Uint64        // requests so far that mirrors chose from
}

var _ exchange.Handler = (*split)(nil)

// plan is how requests are shared at one time. It is never changed.
type plan struct {
	takers  []taker  // the route itself, and its members with a weight and canaries
	weights []int    // of takers, in the smallest whole numbers
	turns   []uint16 // whose turn it is: indices of takers, each as often as its weight
	spare   []taker  // for when none of takers can be used
	mirrors []copier
}

// taker is a route that may get a request.
type taker struct {
	name    string
	origin  *origin
	handler exchange.Handler // the route's own middleware, and then origin
}

// copier sends a share of the requests to a mirror.
type copier struct {
	mirror  *mirror
	handler exchange.Handler
	percent uint64
}

// Serve gives ex to the route whose turn it is, or if none of its replicas can be
// used, to another one; mirrors get copies.
func (s *split) Serve(ex *exchange.Exchange) {
	p := s.plan.Load()
	if p == nil {
		s.origin.Serve(ex)
		return
	}
	if len(p.mirrors) > 0 {
		n := s.copied.Add(1)
		for i := range p.mirrors {
			c := &p.mirrors[i]
			if n*c.percent/100 > (n-1)*c.percent/100 { // as evenly as it can be
				c.mirror.copy(ex, c.handler)
			}
		}
	}
	first := s.choose(ex, p)
	if first.tryServe(ex) {
		return
	}
	for _, others := range [][]taker{p.takers, p.spare} {
		for i := range others {
			if t := &others[i]; t != first && t.tryServe(ex) {
				return
			}
		}
	}
	ex.RouteName, ex.RouteID = first.name, first.origin.route // it says why
	first.handler.Serve(ex)
}

// choose says whose turn it is. A visitor who stays with a replica stays with its
// route. The turns of a route that cannot be used go to those whose turns are next.
func (s *split) choose(ex *exchange.Exchange, p *plan) *taker {
	for i := range p.takers {
		if t := &p.takers[i]; t.origin.stays(ex) {
			return t
		}
	}
	turn := s.turn.Add(1) - 1
	first := p.at(turn)
	if first.origin.usable() || !slices.ContainsFunc(p.takers, func(t taker) bool { return t.origin.usable() }) {
		return first
	}
	for n := range uint64(len(p.turns)) {
		if t := p.at(turn + n); t.origin.usable() {
			return t
		}
	}
	return first
}

func (p *plan) at(turn uint64) *taker { return &p.takers[p.turns[turn%uint64(len(p.turns))]] }

// tryServe has the route serve ex; false if it cannot, so that another one can.
func (t *taker) tryServe(ex *exchange.Exchange) bool {
	if !t.origin.usable() {
		return false
	}
	ex.RouteName, ex.RouteID = t.name, t.origin.route
	if t.handler != exchange.Handler(t.origin) {
		// Its middleware may change the request, which then is not what another one
		// should get: there is no way back.
		t.handler.Serve(ex)
		return true
	}
	return t.origin.serve(ex, false)
}

// planFor makes the plan of n, which holds what its members share, after prev,
// which may be nil.
func (t *table) planFor(n *site, prev *plan) *plan {
	if len(n.route.Members) == 0 {
		return nil
	}
	p := &plan{takers: []taker{{n.route.Name, n.origin, n.share}}}
	own, all := 1, 1 // weights; without any, the route has all to itself
	if n.route.Role == route.Weight {
		own, all = n.route.Share, n.route.Share
	}
	canaries := 0
	for _, m := range n.route.Members {
		switch m.Role {
		case route.Weight:
			all += m.Share
		case route.Canary:
			canaries += m.Share
		}
	}
	p.weights = []int{own * (100 - canaries)}
	for _, m := range n.route.Members {
		member := t.sites[m.Route.Index]
		taker := taker{member.route.Name, member.origin, member.own}
		switch m.Role {
		case route.Weight:
			p.takers, p.weights = append(p.takers, taker), append(p.weights, m.Share*(100-canaries))
		case route.Canary:
			p.takers, p.weights = append(p.takers, taker), append(p.weights, m.Share*all)
		case route.Failover:
			p.spare = append(p.spare, taker)
		case route.Mirror:
			p.mirrors = append(p.mirrors, copier{member.mirror, member.own, uint64(m.Share)})
		}
	}
	reduce(p.weights)
	if prev != nil && slices.Equal(prev.weights, p.weights) {
		p.turns = prev.turns
	} else {
		p.turns = turns(p.weights)
	}
	return p
}

// reduce divides weights by what divides all of them.
func reduce(weights []int) {
	divisor := 0
	for _, w := range weights {
		for w != 0 {
			divisor, w = w, divisor%w
		}
	}
	for i := range weights {
		weights[i] /= divisor
	}
}

// turns deals turns out by weight, each weight's as evenly as it can be (the smooth
// weighted round robin of nginx).
func turns(weights []int) []uint16 {
	total := 0
	for _, w := range weights {
		total += w
	}
	credit := make([]int, len(weights))
	list := make([]uint16, total)
	for n := range list {
		best := 0
		for i, w := range weights {
			if credit[i] += w; credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= total
		list[n] = uint16(best)
	}
	return list
}
