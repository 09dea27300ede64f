package admin

// Cache is how requests of a route were answered since it has a cache.
type Cache struct {
	Hits      uint64 `json:"hits"`      // by what is stored and fresh
	Stale     uint64 `json:"stale"`     // by what is stored and not fresh, where that is allowed
	Validated uint64 `json:"validated"` // by what is stored, once the application has said that it is still right
	Collapsed uint64 `json:"collapsed"` // by what another request had asked the application for
	Misses    uint64 `json:"misses"`    // by the application
	Bypassed  uint64 `json:"bypassed"`  // by the application: rules of the route, methods
	// HitRatio is the share of requests that the application did not have to answer in
	// full, of those that were not to go past the cache.
	HitRatio float64 `json:"hit_ratio"`
}

// counts finds what the cache of a route has done; nil: it has none.
func (s *Server) counts(route string) *Cache {
	if s.cfg.Cache == nil {
		return nil
	}
	c, ok := s.cfg.Cache(route)
	if !ok {
		return nil
	}
	if kept := c.Hits + c.Stale + c.Validated + c.Collapsed; kept > 0 {
		c.HitRatio = float64(kept) / float64(kept+c.Misses)
	}
	return &c
}
