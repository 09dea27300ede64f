package cache

import (
	"sync/atomic"
	"weak"
)

// Counts are how requests of a route were answered since it has a cache.
type Counts struct {
	Hits      uint64 // by what is stored and fresh
	Stale     uint64 // by what is stored and not fresh, where that is allowed
	Validated uint64 // by what is stored, once the origin has said that it is still right
	Collapsed uint64 // by what another request had asked the origin for
	Misses    uint64 // by the origin
	Bypassed  uint64 // by the origin: rules of the route, methods, and what caches do not answer
}

// counters are the Counts of a route as they grow.
type counters struct {
	hits, stale, validated, collapsed, misses, bypassed atomic.Uint64
}

// counters gives those of a route, whose handlers keep them: they outlive a change of its
// labels, and are forgotten with the route.
func (c *Cache) counters(route string) *counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.counted[route].Value(); n != nil {
		return n
	}
	for gone, n := range c.counted {
		if n.Value() == nil {
			delete(c.counted, gone)
		}
	}
	n := new(counters)
	c.counted[route] = weak.Make(n)
	return n
}

// Counts tells how requests of the route with that ID were answered; false if it has no
// cache.
func (c *Cache) Counts(route string) (Counts, bool) {
	c.mu.Lock()
	n := c.counted[route].Value()
	c.mu.Unlock()
	if n == nil {
		return Counts{}, false
	}
	return Counts{
		Hits: n.hits.Load(), Stale: n.stale.Load(), Validated: n.validated.Load(),
		Collapsed: n.collapsed.Load(), Misses: n.misses.Load(), Bypassed: n.bypassed.Load(),
	}, true
}
