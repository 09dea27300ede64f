package admin

import (
	"slices"
	"sync"
)

// Bounds of the failures that are kept.
const (
	failuresPerRoute = 20
	failuresNowhere  = 100 // of requests that no route matched
)

// failures keeps the last ones of each route.
type failures struct {
	mu   sync.Mutex
	byID map[string][]Failure // oldest first
}

// add takes in what the proxy had to answer. Strangers cannot make the map grow: only
// routes have an ID.
func (f *failures) add(x Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID == nil {
		f.byID = make(map[string][]Failure)
	}
	limit := failuresPerRoute
	if x.RouteID == "" {
		limit = failuresNowhere
	}
	list := f.byID[x.RouteID]
	if len(list) == limit {
		copy(list, list[1:])
		list = list[:limit-1]
	}
	f.byID[x.RouteID] = append(list, x)
}

// of lists the failures of a route, or for an empty ID of none, the newest first.
func (f *failures) of(id string) []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := append([]Failure{}, f.byID[id]...)
	slices.Reverse(list)
	return list
}

// retain forgets routes that are gone.
func (f *failures) retain(has func(id string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.byID {
		if id != "" && !has(id) {
			delete(f.byID, id)
		}
	}
}

// Failed takes in a request that the proxy itself had to answer.
func (s *Server) Failed(f Failure) {
	s.failures.add(f)
	s.failed.add(func(uint64) Failure { return f })
	if f.RouteID != "" && f.Status >= 500 && s.prober.suspect(f.RouteID) {
		s.wake()
	}
}

// Failures lists the last failures of a route, or for an empty ID of requests that no
// route matched, the newest first.
func (s *Server) Failures(routeID string) []Failure { return s.failures.of(routeID) }
