package metrics

import "time"

// Counts is what was counted for one route so far. Route is empty for requests that no
// route fits.
type Counts struct {
	Route          string
	Requests       uint64
	Failed         uint64 // answered with 500 and above
	Sent, Received uint64 // bytes of content
	Durations      []Bucket
}

// Bucket counts requests that took at most Bound, and longer than the bound of the
// bucket before. A Bound of 0 is for all that took longer still.
type Bucket struct {
	Bound time.Duration
	Count uint64
}

// Snapshot gives what was counted for each route.
func (m *Metrics) Snapshot() []Counts {
	routes := m.routes.Load().all
	all := make([]Counts, 0, len(routes)+1)
	all = append(all, m.unrouted.snapshot(""))
	for name, s := range routes {
		all = append(all, s.snapshot(name))
	}
	return all
}

func (s *routeStats) snapshot(name string) Counts {
	c := Counts{Route: name, Sent: s.sent.Load(), Received: s.received.Load(), Durations: s.duration.snapshot()}
	s.requests.each(func(_ string, status int, n uint64) {
		c.Requests += n
		if status >= 500 {
			c.Failed += n
		}
	})
	return c
}

func (h *histogram) snapshot() []Bucket {
	all := make([]Bucket, len(h.buckets))
	bound := smallestBound
	for i := range h.buckets {
		all[i] = Bucket{bound, h.buckets[i].Load()}
		bound *= 2
	}
	all[histogramBuckets].Bound = 0
	return all
}
