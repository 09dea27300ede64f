package proxy

import (
	"reflect"
	"slices"

	"portway/label"
	"portway/proxy/balance"
	"portway/proxy/cache"
	"portway/proxy/exchange"
	"portway/proxy/health"
	"portway/proxy/middleware"
	"portway/proxy/origintls"
	"portway/route"
)

// table is a route.Table with what serves its routes. It is never changed.
type table struct {
	routes *route.Table
	sites  []*site          // by route.Route.Index
	byID   map[string]*site // by route.Route.ID
	used   map[*replica]struct{}

	handshakes *handshakes // nil: no route wants anything of handshakes
}

// site is a route with the chain of handlers that its requests go through.
type site struct {
	route  *route.Route
	chain  exchange.Handler // for requests that find the route: its middleware, then split
	split  *split
	own    exchange.Handler // for requests that it gets as a member of another: its middleware, then origin
	mirror *mirror          // what it has to do with copies
	share  exchange.Handler // for those that split leaves to the route: origin, perhaps with a cache
	origin *origin
	listed middleware.Listed // revoked client certificates
	checks []*health.Checker // of route.Upstreams, by place; nil: none
}

// wrapper is a binder that wants to be in the chain: middleware.Middleware, seen
// from here.
type wrapper interface {
	Wrap(next exchange.Handler) exchange.Handler
}

// compile makes the table for t, after prev, which may be nil. Chains and origins
// of routes that stay are carried over, and with them what they have learnt. Origins
// get their new replicas from the caller, so that also requests which began with
// prev go where there still is somebody.
func (s *Server) compile(prev *table, t *route.Table) *table {
	routes := t.Routes()
	next := &table{
		routes: t,
		sites:  make([]*site, len(routes)),
		byID:   make(map[string]*site, len(routes)),
		used:   make(map[*replica]struct{}),

		handshakes: newHandshakes(t),
	}
	for i, r := range routes {
		var old *site
		if prev != nil {
			old = prev.byID[r.ID]
		}
		n := &site{route: r}
		if old == nil {
			n.origin = &origin{server: s, route: r.ID, name: r.Name}
			n.split = &split{origin: n.origin}
			n.mirror = &mirror{server: s, name: r.Name}
		} else {
			n.origin, n.split, n.mirror = old.origin, old.split, old.mirror
			if reflect.DeepEqual(s.wrappers(old.route), s.wrappers(r)) {
				n.chain, n.own, n.listed = old.chain, old.own, old.listed
			}
		}
		if n.chain == nil {
			n.chain, n.listed = s.chain(r, n.split), clientTLS(r).Listed()
		}
		n.share = s.share(n)
		n.checks = s.checks.of(r, old.serves)
		next.sites[i] = n
		next.byID[r.ID] = n
	}
	for _, r := range routes {
		for _, m := range r.Members {
			if n := next.sites[m.Route.Index]; n.own == nil {
				n.own = s.chain(n.route, n.origin)
			}
		}
	}
	return next
}

// replicaSet makes the set of what n is served by now. Server.setting is held.
func (s *Server) replicaSet(n *site, used map[*replica]struct{}) *replicaSet {
	upstreams := n.upstreams()
	options := balancing(n.route.Middleware)
	return n.origin.assemble(upstreams, s.replicas.of(upstreams, options.Timeouts, originTLS(n.route.Middleware), used), options)
}

// serves tells whether a replica gets requests of n, which may be nil.
func (n *site) serves(k replicaKey) bool {
	return n != nil && slices.ContainsFunc(n.origin.set.Load().upstreams, func(u route.Upstream) bool {
		return u.State == route.Ready && keyOf(u) == k
	})
}

// balancing finds how requests are to be shared.
func balancing(binders []label.Binder) balance.Options {
	for _, b := range binders {
		if o, ok := b.(*balance.Options); ok {
			return *o
		}
	}
	return balance.Defaults()
}

// originTLS finds how the origin's TLS is to be checked.
func originTLS(binders []label.Binder) origintls.Options {
	for _, b := range binders {
		if o, ok := b.(*origintls.Options); ok {
			return *o
		}
	}
	return origintls.Options{}
}

// chain puts the middleware of r in front of last, the first one outermost.
func (s *Server) chain(r *route.Route, last exchange.Handler) exchange.Handler {
	h := last
	for _, m := range slices.Backward(s.wrappers(r)) {
		h = m.Wrap(h)
	}
	return h
}

// wrappers are those of the binders of r that want to be in the chain. The cache of a
// route with members is not there but behind split, see share: what one of them
// answers must not be given to those who are sent to another one.
func (s *Server) wrappers(r *route.Route) []wrapper {
	var list []wrapper
	for _, b := range r.Middleware {
		switch b := b.(type) {
		case wrapper:
			list = append(list, b)
		case *cache.Options:
			if len(r.Members) == 0 {
				list = append(list, cached{b, s.cache, r.ID})
			}
		}
	}
	return list
}

// share is what answers the requests that n does not leave to its members.
func (s *Server) share(n *site) exchange.Handler {
	for _, b := range n.route.Middleware {
		if o, ok := b.(*cache.Options); ok && len(n.route.Members) > 0 {
			return o.Wrap(s.cache, n.route.ID, n.origin)
		}
	}
	return n.origin
}

// cached is the cache of a route.
type cached struct {
	options *cache.Options
	cache   *cache.Cache
	route   string
}

var _ wrapper = cached{}

// Wrap puts the cache in front of next.
func (c cached) Wrap(next exchange.Handler) exchange.Handler {
	return c.options.Wrap(c.cache, c.route, next)
}
