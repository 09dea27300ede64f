package dashboard

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What is counted becomes rates and quantiles; routes that come, go and begin anew do
// no harm.
func TestSampler(t *testing.T) {
	t.Parallel()
	var all []Traffic
	s := newSampler(func() []Traffic { return all })
	now := time.Unix(1000, 0)
	sample := func(list ...Traffic) {
		all = list
		s.sample(now)
		now = now.Add(every)
	}
	buckets := func(fast, slow, slowest uint64) []Bucket {
		return []Bucket{{time.Millisecond, fast}, {100 * time.Millisecond, slow}, {0, slowest}}
	}
	sample(Traffic{Route: "a", Requests: 1000, Failed: 10, Buckets: buckets(1000, 0, 0)})
	if _, took := s.now(); took != 0 {
		t.Errorf("after one sample: %v", took)
	}
	sample(Traffic{Route: "a", Requests: 1100, Failed: 20, Sent: 4096, Buckets: buckets(1098, 2, 0)}, Traffic{Route: "b", Requests: 4, Buckets: buckets(4, 0, 0)})
	got, took := s.now()
	if got.Requests != 104 || got.Failed != 10 || got.Sent != 4096 || took != every {
		t.Errorf("%+v in %v", got, took)
	}
	if q, ok := got.quantile(0.5); !ok || q > time.Millisecond {
		t.Errorf("half: %v", q)
	}
	if q, ok := got.quantile(0.99); !ok || q <= time.Millisecond || q > 100*time.Millisecond {
		t.Errorf("99 %%: %v", q)
	}
	if q, _ := (Traffic{Buckets: buckets(0, 0, 9)}).quantile(0.5); q != 100*time.Millisecond {
		t.Errorf("beyond all bounds: %v", q)
	}
	_, requests, failed := s.route("a")
	if !slices.Equal(requests, []float32{50}) || !slices.Equal(failed, []float32{5}) {
		t.Errorf("%v %v", requests, failed)
	}
	sample(Traffic{Route: "a", Requests: 3, Buckets: buckets(3, 0, 0)}) // began anew; b is gone
	if _, requests, _ := s.route("a"); requests[1] != 0 {
		t.Errorf("%v", requests)
	}
	if _, requests, _ := s.route("b"); requests != nil {
		t.Errorf("of a route that is gone: %v", requests)
	}
	for range 2 * kept {
		sample(Traffic{Route: "a", Requests: 3})
	}
	if _, requests, _ := s.route("a"); len(requests) != kept || len(s.recent) != lookBack {
		t.Errorf("%d and %d are kept", len(requests), len(s.recent))
	}
}

func TestChart(t *testing.T) {
	t.Parallel()
	c := newChart([]float32{0, 10, 5}, []float32{0, 1, 0})
	if c.Most != "10" || strings.Count(c.Requests, ",") != 3 || !strings.HasSuffix(c.Requests, "300.0,30.0") || !strings.Contains(c.Text, "at most 10 a second") {
		t.Errorf("%+v", c)
	}
	if c := newChart(nil, nil); c.Requests != "" || c.Most != "0" {
		t.Errorf("%+v", c)
	}
}

// What a look every two seconds costs where there are 1,000 routes.
func BenchmarkSample(b *testing.B) {
	all := make([]Traffic, 1000)
	for i := range all {
		all[i] = Traffic{Route: strconv.Itoa(i), Requests: uint64(i), Buckets: make([]Bucket, 18)}
	}
	s := newSampler(func() []Traffic { return all })
	now := time.Unix(1000, 0)
	for b.Loop() {
		now = now.Add(every)
		s.sample(now)
	}
}
