package balance

import (
	"math/rand/v2"
	"testing"
	"time"
)

// What the window counts is what a list of all that happened says, to within one
// part of it.
func TestWindowOracle(t *testing.T) {
	t.Parallel()
	const length = 10 * time.Second
	r := rand.New(rand.NewPCG(1, 2))
	var w window
	now := time.Now().UnixNano()
	type event struct {
		at   int64
		some int
	}
	var events []event
	for range 5000 {
		now += r.Int64N(int64(length) / 40)
		if r.IntN(200) == 0 {
			now += int64(length) * 3
		}
		e := event{now, r.IntN(2)}
		events = append(events, e)
		w.add(now, length, 1, e.some)
		var most, mostSome, fewest int
		for _, e := range events {
			if age := now - e.at; age < int64(length) {
				most++
				mostSome += e.some
				if age < int64(length)*(slots-1)/slots {
					fewest++
				}
			}
		}
		if all, some := w.sum(now, length); all < fewest || all > most || some > mostSome {
			t.Fatalf("counts %d, %d; want from %d to %d, up to %d", all, some, fewest, most, mostSome)
		}
	}
}

// A probe of which nothing is heard, such as one whose client went away, does not
// keep the breaker open for good.
func TestBreakerForgetsProbe(t *testing.T) {
	t.Parallel()
	var b Breaker
	rules := &BreakerRules{Percent: 50, Window: time.Second, Requests: 1, For: time.Second}
	now := time.Now().UnixNano()
	if _, wait := b.Allow(rules, now); wait != 0 {
		t.Fatal("not closed at first")
	}
	if opened, _ := b.Done(rules, false, Bad, now); !opened {
		t.Fatal("does not open")
	}
	now += int64(time.Second)
	if probe, _ := b.Allow(rules, now); !probe {
		t.Fatal("no probe after the time is over")
	}
	if _, wait := b.Allow(rules, now); wait == 0 {
		t.Error("a second probe at the same time")
	}
	b.Done(rules, false, Good, now) // of a request that began before
	if _, wait := b.Allow(rules, now); wait == 0 {
		t.Error("an old request counts as a probe")
	}
	now += int64(time.Second)
	if probe, wait := b.Allow(rules, now); !probe || wait != 0 {
		t.Error("no probe after one of which nothing was heard")
	}
	b.Done(rules, true, Neither, now)
	for n := range enoughProbes {
		probe, _ := b.Allow(rules, now)
		_, closed := b.Done(rules, probe, Good, now)
		if closed != (n == enoughProbes-1) {
			t.Errorf("after %d good probes: closed %v", n+1, closed)
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	var b Budget
	now := time.Now().UnixNano()
	retries := func() (n int) {
		for b.Retry(now, 20) {
			n++
		}
		return n
	}
	if n := retries(); n != freeRetries {
		t.Errorf("%d retries are free, want %d", n, freeRetries)
	}
	for range 100 {
		b.Request(now)
	}
	if n := retries(); n != 20-freeRetries {
		t.Errorf("%d more retries for 100 requests, want %d", n, 20-freeRetries)
	}
	now += int64(2 * budgetWindow)
	if n := retries(); n != freeRetries {
		t.Errorf("%d retries when all is long ago, want %d", n, freeRetries)
	}
}
