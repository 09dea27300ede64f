package queue

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portway/proxy/exchange"
)

// places is what is waited for in tests.
type places struct {
	Queue[int]
	free atomic.Int64
}

func (p *places) take() (int, bool) {
	for {
		n := p.free.Load()
		if n <= 0 {
			return 0, false
		}
		if p.free.CompareAndSwap(n, n-1) {
			return int(n), true
		}
	}
}

func (p *places) giveBack() {
	p.free.Add(1)
	p.Serve()
}

func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p places
		var order []int
		for n := range 10 {
			go func() {
				ex := exchange.Get()
				if _, err := p.Wait(ex, Bounds{10, time.Minute}, false, p.take); err != nil {
					t.Error(err)
				}
				order = append(order, n)
			}()
			synctest.Wait()
		}
		if _, err := p.Wait(exchange.Get(), Bounds{10, time.Minute}, false, p.take); !errors.Is(err, ErrFull) {
			t.Errorf("the 11th of 10 gets %v", err)
		}
		for range 10 {
			p.giveBack()
			synctest.Wait()
		}
		if !slices.IsSorted(order) || len(order) != 10 || p.Waiting() {
			t.Errorf("served in the order %v", order)
		}
	})
}

// Who goes away, or has waited for long enough, leaves no hole: the next one gets
// the place, exactly when there is one.
func TestLeavingTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p places
		results := make([]error, 3)
		exs := []*exchange.Exchange{exchange.Get(), exchange.Get(), exchange.Get()}
		begin := time.Now()
		var served time.Duration
		for n, patience := range []time.Duration{time.Second, time.Hour, time.Hour} {
			go func() {
				_, results[n] = p.Wait(exs[n], Bounds{10, patience}, false, p.take)
				if n == 2 {
					served = time.Since(begin)
				}
			}()
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		exs[1].Cancel(exchange.ErrClientGone)
		time.Sleep(time.Second)
		p.giveBack()
		synctest.Wait()
		if !errors.Is(results[0], ErrLate) || !errors.Is(results[1], exchange.ErrClientGone) || results[2] != nil || served != 3*time.Second {
			t.Errorf("results %v, the third after %v", results, served)
		}
	})
}

// Under load, no place is lost and none is given twice.
func TestNoPlaceIsLost(t *testing.T) {
	t.Parallel()
	const total = 3
	var p places
	p.free.Store(total)
	var inside, most, served, late atomic.Int64
	var wg sync.WaitGroup
	for g := range 24 {
		wg.Go(func() {
			for n := range 300 {
				ex := exchange.Get()
				_, ok := 0, false
				if !p.Waiting() {
					_, ok = p.take()
				}
				if !ok {
					patience := time.Hour
					if (g+n)%5 == 0 {
						patience = time.Microsecond
					}
					if (g+n)%7 == 0 {
						go ex.Cancel(exchange.ErrClientGone)
					}
					if _, err := p.Wait(ex, Bounds{100, patience}, false, p.take); err != nil {
						late.Add(1)
						continue
					}
				}
				now := inside.Add(1)
				for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
				}
				inside.Add(-1)
				served.Add(1)
				p.giveBack()
			}
		})
	}
	wg.Wait()
	if p.free.Load() != total || most.Load() > total || p.Waiting() {
		t.Errorf("%d places are left of %d, up to %d were taken, somebody waits: %v", p.free.Load(), total, most.Load(), p.Waiting())
	}
	t.Logf("%d served, %d gave up", served.Load(), late.Load())
}

// One that does not take what there is holds up nobody.
func TestFussyHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p places
		var order []string
		likes := false
		go func() {
			_, _ = p.Wait(exchange.Get(), Bounds{10, time.Minute}, true, func() (int, bool) {
				if !likes {
					return 0, false
				}
				return p.take()
			})
			order = append(order, "fussy")
		}()
		synctest.Wait()
		go func() {
			_, _ = p.Wait(exchange.Get(), Bounds{10, time.Minute}, false, p.take)
			order = append(order, "other")
		}()
		synctest.Wait()
		p.giveBack()
		synctest.Wait()
		likes = true
		p.giveBack()
		synctest.Wait()
		if !slices.Equal(order, []string{"other", "fussy"}) {
			t.Errorf("served %v", order)
		}
	})
}
