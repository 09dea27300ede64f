package middleware

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// Who waits gets a place when one is given back, the first one first; who comes when
// the queue is full is refused at once.
func TestMaxInFlightQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		binders, _ := parse(label.Values{"max-in-flight": "2", "max-in-flight.queue": "3", "max-in-flight.wait": "5s"})
		h := wrap(binders, exchange.HandlerFunc(func(ex *exchange.Exchange) { ex.Response.Status = 200 }))
		var list []*exchange.Exchange
		var order []int
		for n := range 6 {
			ex := request(t, "GET /")
			list = append(list, ex)
			go func() {
				h.Serve(ex)
				if ex.Response.Status == 200 {
					order = append(order, n)
				}
			}()
			synctest.Wait()
		}
		if got := list[5].Response.Status; got != 503 || !slices.Equal(order, []int{0, 1}) {
			t.Errorf("the one too many gets %d, and %v are served", got, order)
		}
		list[1].Finish(0, nil)
		synctest.Wait()
		list[0].Finish(0, errors.New("broken off"))
		synctest.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 3}) {
			t.Errorf("served in the order %v", order)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := list[4].Response.Status; got != 503 {
			t.Errorf("the one that waited for too long gets %d", got)
		}
		list[2].Finish(0, nil)
		list[3].Finish(0, nil)
		if n := h.(*inFlight).now.Load(); n != 0 {
			t.Errorf("%d places were not given back", n)
		}
	})
}
