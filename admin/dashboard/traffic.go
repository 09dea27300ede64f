package dashboard

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Traffic is what was counted so far for one route, by its name; empty: for requests
// that no route fits.
type Traffic struct {
	Route          string
	Requests       uint64
	Failed         uint64 // answered with 500 and above
	Sent, Received uint64 // bytes
	Buckets        []Bucket
}

// Bucket is how many answers took at most so long, without those of the buckets before.
type Bucket struct {
	Bound time.Duration // 0: longer than all others
	Count uint64
}

const (
	every    = 2 * time.Second
	kept     = 150 // samples: 5 minutes
	lookBack = 5   // samples that what is shown as now is made of
)

// sampler keeps account of what is counted, and how it changes.
type sampler struct {
	read func() []Traffic // nil: nothing is counted

	mu     sync.Mutex
	at     time.Time
	last   map[string]Traffic
	rates  map[string]*series // by route; "" is for all together
	recent []recent           // the oldest first; at most lookBack
}

// recent is what was counted from one sample to the next.
type recent struct {
	Traffic
	took time.Duration
}

// series is requests and failed ones per second, the oldest first.
type series struct{ requests, failed []float32 }

func (s *series) add(t Traffic, took time.Duration) {
	if len(s.requests) == kept {
		s.requests, s.failed = slices.Delete(s.requests, 0, 1), slices.Delete(s.failed, 0, 1)
	}
	s.requests = append(s.requests, float32(float64(t.Requests)/took.Seconds()))
	s.failed = append(s.failed, float32(float64(t.Failed)/took.Seconds()))
}

func newSampler(read func() []Traffic) *sampler {
	return &sampler{read: read, last: make(map[string]Traffic), rates: make(map[string]*series)}
}

func (s *sampler) run(ctx context.Context) {
	if s.read == nil {
		<-ctx.Done()
		return
	}
	s.sample(time.Now())
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.sample(now)
		}
	}
}

// sample looks what was counted since the last time.
func (s *sampler) sample(now time.Time) {
	all := s.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	took := now.Sub(s.at)
	first := s.at.IsZero() || took <= 0
	there := make(map[string]Traffic, len(all))
	sum := recent{took: took}
	for _, t := range all {
		there[t.Route] = t
		news := t.since(s.last[t.Route])
		sum.add(news)
		if !first && t.Route != "" {
			s.of(t.Route).add(news, took)
		}
	}
	for name := range s.rates {
		if _, ok := there[name]; !ok && name != "" {
			delete(s.rates, name)
		}
	}
	s.last, s.at = there, now
	if first {
		return
	}
	s.of("").add(sum.Traffic, took)
	if s.recent = append(s.recent, sum); len(s.recent) > lookBack {
		s.recent = slices.Delete(s.recent, 0, 1)
	}
}

func (s *sampler) of(name string) *series {
	if s.rates[name] == nil {
		s.rates[name] = &series{}
	}
	return s.rates[name]
}

// add takes in what was counted for another route.
func (t *Traffic) add(other Traffic) {
	t.Requests, t.Failed = t.Requests+other.Requests, t.Failed+other.Failed
	t.Sent, t.Received = t.Sent+other.Sent, t.Received+other.Received
	if t.Buckets == nil {
		t.Buckets = slices.Clone(other.Buckets)
		return
	}
	for i := range min(len(t.Buckets), len(other.Buckets)) {
		t.Buckets[i].Count += other.Buckets[i].Count
	}
}

// since is what was counted after old. There may be less than there was: counters of a
// route that was gone meanwhile began anew.
func (t Traffic) since(old Traffic) Traffic {
	less := func(a, b uint64) uint64 { return a - min(a, b) }
	d := Traffic{
		Requests: less(t.Requests, old.Requests), Failed: less(t.Failed, old.Failed),
		Sent: less(t.Sent, old.Sent), Received: less(t.Received, old.Received), Buckets: slices.Clone(t.Buckets),
	}
	for i := range min(len(d.Buckets), len(old.Buckets)) {
		d.Buckets[i].Count = less(d.Buckets[i].Count, old.Buckets[i].Count)
	}
	return d
}

// quantile is how long the share q of the answers took at most, as well as the buckets
// tell; ok is false if there were none.
func (t Traffic) quantile(q float64) (d time.Duration, ok bool) {
	var all uint64
	for _, b := range t.Buckets {
		all += b.Count
	}
	if all == 0 {
		return 0, false
	}
	var below uint64
	var from time.Duration
	wanted := q * float64(all)
	for _, b := range t.Buckets {
		if b.Count > 0 && float64(below+b.Count) >= wanted {
			if b.Bound == 0 {
				return from, true
			}
			part := (wanted - float64(below)) / float64(b.Count)
			return from + time.Duration(part*float64(b.Bound-from)), true
		}
		below += b.Count
		from = max(from, b.Bound)
	}
	return from, true
}

// now is what happened over the last samples, and in how long.
func (s *sampler) now() (t Traffic, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recent {
		t.add(r.Traffic)
		took += r.took
	}
	return t, took
}

// route is what was counted for one route so far, with its series.
func (s *sampler) route(name string) (t Traffic, requests, failed []float32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rates[name]; r != nil {
		requests, failed = slices.Clone(r.requests), slices.Clone(r.failed)
	}
	return s.last[name], requests, failed
}
