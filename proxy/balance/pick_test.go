package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// crew makes n members, none of which has done anything yet.
func crew(n int) []*Member {
	list := make([]*Member, n)
	for i := range list {
		list[i] = &Member{}
		list[i].Init(fmt.Sprint("container-", i, ":80"))
	}
	return list
}

// shares tells how many of n picks, for different keys, each member gets.
func shares(p Picker, c Choice, n int) []int {
	got := make([]int, len(c.Members))
	for key := range n {
		c.Key = mix(uint64(key))
		if i := p.Pick(c); i >= 0 {
			got[i]++
		}
	}
	return got
}

var algorithms = []Algorithm{RoundRobin, LeastConn, P2C, Hash}

// Replicas between which there is no difference get the same share, also when some
// others are left out or had their turn: nobody inherits all that was theirs.
func TestFairness(t *testing.T) {
	t.Parallel()
	const picks = 40000
	now := time.Now().UnixNano()
	for _, a := range algorithms {
		members := crew(10)
		p := NewPicker(&Options{Algorithm: a})
		out := map[int]bool{}
		for _, more := range []int{-1, 3, 4, 9} {
			if more >= 0 {
				members[more].Refused(now)
				out[more] = true
			}
			got := shares(p, Choice{Members: members, Now: now}, picks)
			for i, n := range got {
				want := picks / (len(members) - len(out))
				if out[i] {
					want = 0
				}
				// The deviation of a share that is drawn is the root of it; 6 of them never happen.
				if off := math.Abs(float64(n - want)); off > 6*math.Sqrt(float64(want)) {
					t.Errorf("%s: with %v left out, the shares are %v", a, out, got)
					break
				}
			}
		}
	}
}

// Whatever is out of the question is never chosen, and something is chosen as long
// as anything is not.
func TestPickOracle(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixNano()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		members := crew(1 + r.IntN(20))
		limit := int64(r.IntN(3))
		var skip Set
		if r.IntN(2) == 0 {
			skip = Set{make([]byte, len(members)/8+1)}
		}
		c := Choice{Members: members, Skip: skip, Any: r.IntN(3) == 0, Key: r.Uint64(), Now: now}
		possible := map[int]bool{}
		for i, m := range members {
			ok := true
			if r.IntN(3) == 0 {
				m.Refused(now)
				ok = c.Any
			}
			if !skip.Empty() && r.IntN(3) == 0 {
				skip.Add(i)
				ok = false
			}
			for range r.IntN(3) {
				m.Enter(0)
			}
			if limit > 0 && m.InFlight() >= limit {
				ok = false
			}
			if ok {
				possible[i] = true
			}
		}
		for _, a := range algorithms {
			o := &Options{Algorithm: a, Limit: int(limit)}
			if r.IntN(2) == 0 {
				o.SlowStart = time.Minute
				members[0].Begin(now)
			}
			got := NewPicker(o).Pick(c)
			if len(possible) == 0 && got != -1 || len(possible) > 0 && !possible[got] {
				t.Fatalf("seed %d, %s: chose %d of %v", seed, a, got, possible)
			}
		}
	}
}

// When a replica goes, only its own keys move, and to all others in equal parts;
// when it comes back, exactly they come back. A new one takes its share and no more.
func TestHashIsStable(t *testing.T) {
	t.Parallel()
	const keys = 20000
	all := crew(11)
	now := time.Now().UnixNano()
	p := NewPicker(&Options{Algorithm: Hash})
	where := func(members []*Member) []*Member {
		list := make([]*Member, keys)
		for k := range list {
			list[k] = members[p.Pick(Choice{Members: members, Key: mix(uint64(k)), Now: now})]
		}
		return list
	}
	before := where(all[:10])
	moved := map[*Member]int{}
	for k, m := range where(append(append([]*Member{}, all[:4]...), all[5:10]...)) {
		switch {
		case before[k] == all[4]:
			moved[m]++
		case before[k] != m:
			t.Fatalf("key %d moved, though its replica stayed", k)
		}
	}
	for _, m := range all[:10] {
		if n := moved[m]; m != all[4] && (n < keys/10/9*7/10 || n > keys/10/9*13/10) {
			t.Errorf("the share that moved is dealt out as %v", moved)
		}
	}
	all[4].Refused(now) // it makes no difference whether one is gone or left out
	for k, m := range where(all[:10]) {
		if before[k] != all[4] && before[k] != m {
			t.Fatalf("key %d moved, though its replica was not left out", k)
		}
	}
	all[4].Answered(now)
	taken := 0
	for k, m := range where(all) {
		switch {
		case m == all[10]:
			taken++
		case m != before[k]:
			t.Fatalf("key %d moved, and not to the new replica", k)
		}
	}
	if want := keys / 11; taken < want*9/10 || taken > want*11/10 {
		t.Errorf("the new replica took %d keys, want about %d", taken, want)
	}
}

// In slow start, a replica takes over its keys one by one: none goes back and forth.
func TestHashSlowStart(t *testing.T) {
	t.Parallel()
	const keys = 5000
	members := crew(4)
	p := NewPicker(&Options{Algorithm: Hash, SlowStart: time.Minute})
	now := time.Now().UnixNano()
	members[3].Begin(now)
	has := map[int]bool{}
	var counts []int
	for step := range 7 {
		n := 0
		for k := range keys {
			if p.Pick(Choice{Members: members, Key: mix(uint64(k)), Now: now + int64(step)*int64(10*time.Second)}) == 3 {
				has[k] = true
				n++
			} else if has[k] {
				t.Fatalf("key %d went back at step %d", k, step)
			}
		}
		counts = append(counts, n)
	}
	if counts[0] > keys/40 || counts[6] < keys/5 || counts[3] < counts[1] {
		t.Errorf("the new replica's keys grow like %v", counts)
	}
}

// The share of a new replica grows with time, by whatever algorithm.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	const picks = 20000
	now := time.Now().UnixNano()
	for _, a := range []Algorithm{RoundRobin, P2C} {
		members := crew(4)
		for _, m := range members {
			m.Took(time.Millisecond, now)
		}
		members[3].Begin(now)
		p := NewPicker(&Options{Algorithm: a, SlowStart: time.Minute})
		early := shares(p, Choice{Members: members, Now: now + int64(time.Second)}, picks)[3]
		late := shares(p, Choice{Members: members, Now: now + int64(time.Minute)}, picks)[3]
		if early > picks/20 || late < picks/5 {
			t.Errorf("%s: the new replica gets %d of %d at first, and %d at last", a, early, picks, late)
		}
	}
}

// All in slow start at the same time is as none.
func TestSlowStartOfAll(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixNano()
	members := crew(3)
	for _, m := range members {
		m.Begin(now)
	}
	for i, n := range shares(NewPicker(&Options{Algorithm: RoundRobin, SlowStart: time.Minute}), Choice{Members: members, Now: now}, 9000) {
		if i > 0 && (n < 1500 || n > 4500) {
			t.Errorf("replica %d gets %d of 9000", i, n)
		}
	}
}

// The estimate jumps up with one late answer, comes down with good ones by time and
// by number, and fades while nothing is known.
func TestLatency(t *testing.T) {
	t.Parallel()
	var l latency
	now := time.Now().UnixNano()
	is := func(want time.Duration) {
		t.Helper()
		if got, known := l.estimate(now); !known || math.Abs(got-float64(want)) > 0.02*float64(want) {
			t.Errorf("estimate %v, want %v", time.Duration(got), want)
		}
	}
	if _, known := l.estimate(now); known {
		t.Error("something is known before there was anything")
	}
	l.observe(2*time.Millisecond, now)
	is(2 * time.Millisecond)
	l.observe(200*time.Millisecond, now)
	is(200 * time.Millisecond)
	now += int64(memory)
	is(200 * time.Millisecond * 1000 / 2718)
	l.observe(2*time.Millisecond, now)
	is(74840 * time.Microsecond) // 2 + 198/e
	for range 16 {
		l.observe(2*time.Millisecond, now)
	}
	is(27940 * time.Microsecond) // 2 + 72.84*(15/16)^16
	for range 100 {
		l.observe(2*time.Millisecond, now)
	}
	is(2 * time.Millisecond)
}

// Nobody knows how fast a new replica is: it gets one request, and no more until
// that is answered.
func TestP2CTriesUnknownOnce(t *testing.T) {
	t.Parallel()
	members := crew(2)
	now := time.Now().UnixNano()
	members[0].Took(2*time.Millisecond, now)
	p := NewPicker(&Options{Algorithm: P2C})
	for n := range 50 {
		want := 0
		if n == 0 {
			want = 1
		}
		if got := p.Pick(Choice{Members: members, Now: now}); got != want {
			t.Fatalf("request %d goes to %d", n, got)
		}
		members[want].Enter(0)
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	members := crew(10)
	members[2].Refused(time.Now().UnixNano())
	for _, a := range algorithms {
		p := NewPicker(&Options{Algorithm: a, SlowStart: time.Minute, Limit: 5})
		c := Choice{Members: members, Now: time.Now().UnixNano(), Key: 7}
		if n := testing.AllocsPerRun(100, func() { p.Pick(c) }); n != 0 {
			t.Errorf("%s: %v allocations", a, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{3, 30} {
		for _, a := range algorithms {
			b.Run(fmt.Sprintf("%s of %d", a, n), func(b *testing.B) {
				now := time.Now().UnixNano()
				members := crew(n)
				for _, m := range members {
					m.Took(time.Millisecond, now)
				}
				p := NewPicker(&Options{Algorithm: a})
				for b.Loop() {
					p.Pick(Choice{Members: members, Now: now, Key: 7})
				}
			})
		}
	}
}
