package middleware

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// naive is a token bucket as textbooks have it.
type naive struct {
	tokens float64
	at     time.Duration
}

func (n *naive) take(at, interval time.Duration, burst int) bool {
	n.tokens = min(n.tokens+float64(at-n.at)/float64(interval), float64(burst))
	n.at = at
	if n.tokens < 1-1e-9 {
		return false
	}
	n.tokens--
	return true
}

// What is let through, and what clients are told, is what a bucket with tokens gives.
func TestBucketsAgainstTextbook(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		burst := 1 + r.IntN(5)
		const interval = 100 * time.Millisecond
		b := newBuckets(interval, burst)
		models := map[uint64]*naive{}
		at := time.Duration(0)
		for range 500 {
			at += time.Duration(r.IntN(60)) * time.Millisecond
			key := uint64(r.IntN(3))
			m := models[key]
			if m == nil {
				m = &naive{tokens: float64(burst), at: at}
				models[key] = m
			}
			v := b.take(key, b.begin.Add(at))
			if want := m.take(at, interval, burst); v.ok != want {
				t.Fatalf("seed %d at %v: let through: %v, want %v", seed, at, v.ok, want)
			}
			if v.ok && v.left != int64(m.tokens+1e-9) {
				t.Fatalf("seed %d at %v: %d tokens are left, want %v", seed, at, v.left, m.tokens)
			}
			if !v.ok {
				again := *m
				if again.take(at+v.wait-time.Microsecond, interval, burst) {
					t.Fatalf("seed %d at %v: would have been let through before %v", seed, at, v.wait)
				}
				if again = *m; !again.take(at+v.wait, interval, burst) {
					t.Fatalf("seed %d at %v: would not be let through after %v", seed, at, v.wait)
				}
			}
		}
	}
}

// A request that came before the chain was made is like any other, and so is one that
// another one has overtaken on its way here.
func TestBucketsWithTimeGoingBack(t *testing.T) {
	t.Parallel()
	b := newBuckets(time.Second, 3)
	for i, at := range []time.Duration{-time.Hour, -time.Hour - time.Millisecond, time.Hour, time.Hour - time.Millisecond} {
		if v := b.take(1, b.begin.Add(at)); !v.ok {
			t.Errorf("request %d is refused", i)
		}
	}
	if v := b.take(1, b.begin.Add(time.Hour)); !v.ok || v.left != 0 {
		t.Errorf("the third in three seconds: %+v", v)
	}
	if v := b.take(1, b.begin.Add(time.Hour)); v.ok || v.wait != time.Second {
		t.Errorf("the fourth in three seconds: %+v", v)
	}
}

// However many are at it at the same time, exactly as many get through as should.
func TestRateLimitUnderConcurrentLoad(t *testing.T) {
	t.Parallel()
	const clients, goroutines, requests, burst = 3, 16, 100, 25
	var passed [clients]atomic.Int64
	h := chain(t, label.Values{"rate-limit": "25/1h"}, func(ex *exchange.Exchange) {
		passed[ex.ClientIP.As4()[3]].Add(1)
		ex.Response.Status = 200
	})
	var refused atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for range requests {
				ex := request(t, "GET /")
				ex.ClientIP = netip.AddrFrom4([4]byte{192, 0, 2, byte(g % clients)})
				h.Serve(ex)
				if ex.Response.Status == 429 && ex.Response.Fields.Has("retry-after") {
					refused.Add(1)
				}
				finish(ex)
			}
		})
	}
	wg.Wait()
	for i := range passed {
		if n := passed[i].Load(); n != burst {
			t.Errorf("%d requests of client %d got through, want %d", n, i, burst)
		}
	}
	if n := refused.Load(); n != goroutines*requests-clients*burst {
		t.Errorf("%d were refused properly", n)
	}
}

// Memory is bounded under a flood from more addresses than there is room for, nobody
// new is locked out, and who has used up a bucket just now does not get a new one by it
// as a rule.
func TestBucketsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBuckets(time.Minute, 3)
	key := func(i int) uint64 { // like hashes: spread over the shards
		return rand.New(rand.NewPCG(uint64(i), 7)).Uint64()
	}
	now := b.begin
	for i := range 3 * shardCount * shardSize {
		if !b.take(key(i), now).ok {
			t.Fatalf("client %d is refused at its first request", i)
		}
		now = now.Add(time.Microsecond)
	}
	total := 0
	for i := range b.shards {
		total += len(b.shards[i].fullAt)
	}
	if total > shardCount*shardSize {
		t.Errorf("%d buckets, at most %d are allowed", total, shardCount*shardSize)
	}
	survived := 0
	for greedy := range 100 {
		k := key(-1 - greedy)
		for range 3 {
			b.take(k, now)
		}
		b.take(key(1e9+greedy), now)
		if !b.take(k, now).ok {
			survived++
		}
	}
	if survived < 95 {
		t.Errorf("only %d of 100 empty buckets were still there after one newcomer", survived)
	}
}

// Clients that went away cost nothing after a while.
func TestBucketsForgetThoseThatAreFull(t *testing.T) {
	t.Parallel()
	b := newBuckets(time.Second, 1)
	now := b.begin
	for i := range 20000 {
		b.take(rand.Uint64(), now)
		if i%10 == 0 {
			now = now.Add(time.Second) // so that ten clients at a time are known
		}
	}
	total := 0
	for i := range b.shards {
		total += len(b.shards[i].fullAt)
	}
	if total > 500 {
		t.Errorf("%d buckets are kept, although about 10 clients are there at a time", total)
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"100/1m":         "100 in 1m0s",
		"10 / s":         "10 in 1s",
		"7/2h":           "7 in 2h0m0s",
		"1/31d":          "1 in 744h0m0s",
		"1/32d":          "",
		"1/0s":           "",
		"0/s":            "",
		"-1/s":           "",
		"+1/s":           "",
		"1/+1s":          "",
		"1/-1s":          "",
		"1/1.5s":         "",
		"1e3/s":          "",
		"1/ms":           "",
		"/s":             "",
		"1/":             "",
		"1/s/s":          "",
		"1":              "",
		"1/99999999999s": "",
		"9999999999/s":   "",
	} {
		var m rateLimit
		got := ""
		if m.parse(value) == nil {
			got = fmt.Sprintf("%d in %v", m.requests, m.window)
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", value, got, want)
		}
	}
}

// FuzzBuckets: whatever the times, nothing overflows, and a refusal always ends.
func FuzzBuckets(f *testing.F) {
	f.Add(uint32(100), uint8(60), uint32(5), []byte{1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, requests uint32, secs uint8, burst uint32, times []byte) {
		m := rateLimit{}
		if m.parse(fmt.Sprintf("%d/%dd", requests, secs)) != nil && m.parse(fmt.Sprintf("%d/%ds", requests, secs)) != nil {
			return
		}
		if _, problems := parse(label.Values{
			"rate-limit": fmt.Sprintf("%d/%ds", m.requests, m.window/time.Second), "rate-limit.burst": fmt.Sprint(burst),
		}); len(problems) > 0 {
			return
		}
		m.burst = int(burst)
		b := newBuckets(m.interval(), m.burst)
		for len(times) >= 8 {
			at := time.Duration(binary.LittleEndian.Uint64(times) >> 2)
			times = times[8:]
			now := b.begin.Add(at)
			v := b.take(1, now)
			switch {
			case v.full < 0 || v.full > b.capacity && v.ok:
				t.Fatalf("full after %v", v.full)
			case v.ok && (v.left < 0 || v.left >= int64(burst)):
				t.Fatalf("%d left of %d", v.left, burst)
			case !v.ok && v.wait <= 0:
				t.Fatalf("refused for %v", v.wait)
			}
		}
	})
}
