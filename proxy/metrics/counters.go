package metrics

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// methods are those that are told apart; all others are "other".
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"}

const otherMethod = len(methods) - 1

// methodOf is the place of a method in methods.
func methodOf(method []byte) int {
	for i, m := range methods[:otherMethod] {
		if string(method) == m {
			return i
		}
	}
	return otherMethod
}

// requests counts by method and status. Memory is taken for a hundred statuses at once,
// when the first of them comes.
type requests struct {
	pages [len(methods)][5]atomic.Pointer[[100]atomic.Uint64] // by method and first digit
}

func (r *requests) add(method []byte, status int) {
	if status < 100 || status > 599 {
		return // none was sent
	}
	place := &r.pages[methodOf(method)][status/100-1]
	page := place.Load()
	if page == nil {
		place.CompareAndSwap(nil, new([100]atomic.Uint64))
		page = place.Load()
	}
	page[status%100].Add(1)
}

// each calls f for all counts that are not zero.
func (r *requests) each(f func(method string, status int, n uint64)) {
	for m := range r.pages {
		for class := range r.pages[m] {
			page := r.pages[m][class].Load()
			if page == nil {
				continue
			}
			for i := range page {
				if n := page[i].Load(); n > 0 {
					f(methods[m], (class+1)*100+i, n)
				}
			}
		}
	}
}

// histogram counts durations in buckets whose bounds are powers of two of a millisecond,
// from 1/2 to 32,768: finding the bucket is one instruction.
type histogram struct {
	sum     atomic.Int64                        // nanoseconds; beside the buckets of what is quick
	buckets [histogramBuckets + 1]atomic.Uint64 // the last one for all that is longer
}

const (
	histogramBuckets = 17
	smallestBound    = 500 * time.Microsecond
)

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	if d > smallestBound {
		// Twice the bound is one more; what is exactly a bound is below it.
		i = min(bits.Len64(uint64((d-1)/smallestBound)), histogramBuckets)
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// read gives what prometheus.NewConstHistogram takes: counts below each bound.
func (h *histogram) read() (count uint64, sum float64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, histogramBuckets)
	bound := smallestBound.Seconds()
	for i := range histogramBuckets {
		count += h.buckets[i].Load()
		buckets[bound] = count
		bound *= 2
	}
	count += h.buckets[histogramBuckets].Load()
	return count, time.Duration(h.sum.Load()).Seconds(), buckets
}
