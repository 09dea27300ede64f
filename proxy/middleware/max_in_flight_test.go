package middleware

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"portway/label"
	"portway/proxy/exchange"
)

// There are never more than allowed, and every place is given back, whatever becomes
// of its request.
func TestMaxInFlightUnderConcurrentLoad(t *testing.T) {
	t.Parallel()
	var now, most, passed atomic.Int64
	binders, _ := parse(label.Values{"max-in-flight": "3"})
	h := wrap(binders, exchange.HandlerFunc(func(ex *exchange.Exchange) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		ex.Response.Status = 200
	}))
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 200 {
				ex := request(t, "GET /")
				h.Serve(ex)
				if ex.Response.Status == 200 {
					passed.Add(1)
					now.Add(-1)
				}
				var err error
				if (g+i)%3 == 0 {
					err = errors.New("broken off")
				}
				ex.Finish(0, err)
				exchange.Put(ex)
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || passed.Load() == 0 {
		t.Errorf("up to %d were in flight, %d got through", most.Load(), passed.Load())
	}
	if n := h.(*inFlight).now.Load(); n != 0 {
		t.Errorf("%d places were not given back", n)
	}
}
