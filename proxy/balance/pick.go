package balance

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
)

// Choice is what a Picker chooses from.
type Choice struct {
	Members []*Member
	Skip    Set    // those that are out of the question
	Any     bool   // also those that are left out
	Key     uint64 // for Hash
	Now     int64
}

// Picker chooses a replica. It may be used by many goroutines.
type Picker interface {
	// Pick gives the index of a member, -1 if there is none to choose. It takes
	// those that are Open, or with Choice.Any all, whose limit is not reached.
	Pick(c Choice) int
}

// NewPicker makes the Picker of a route.
func NewPicker(o *Options) Picker {
	r := rules{int64(o.Limit), o.SlowStart}
	switch o.Algorithm {
	case LeastConn:
		return leastConn{r}
	case P2C:
		return p2c{r}
	case Hash:
		return rendezvous{r}
	}
	return &roundRobin{rules: r}
}

// rules are what all pickers know.
type rules struct {
	limit     int64
	slowStart time.Duration
}

func (r *rules) can(c *Choice, i int) bool {
	m := c.Members[i]
	return (c.Any || m.Open(c.Now)) && !c.Skip.Has(i) && (r.limit == 0 || m.InFlight() < r.limit)
}

// any takes any member but one, each with the same chance.
func (r *rules) any(c *Choice, but int) int {
	found, chosen := 0, -1
	for i := range c.Members {
		if i != but && r.can(c, i) {
			if found++; rand.IntN(found) == 0 {
				chosen = i
			}
		}
	}
	return chosen
}

func (r *rules) weight(c *Choice, i int) float64 { return c.Members[i].weight(c.Now, r.slowStart) }

// Set is a set of small numbers. Its zero value is empty.
type Set struct{ bits []byte }

// NewSet makes a set for numbers below n, in the memory of ex.
func NewSet(ex *exchange.Exchange, n int) Set {
	from := len(ex.Memory)
	ex.Memory = append(ex.Memory, make([]byte, n/8+1)...)
	return Set{ex.Memory[from:len(ex.Memory):len(ex.Memory)]}
}

// Empty tells whether the set is the zero value.
func (s Set) Empty() bool { return s.bits == nil }

// Add adds i, to a set that NewSet has made.
func (s Set) Add(i int) { s.bits[i/8] |= 1 << (i % 8) }

// Has tells whether i was added.
func (s Set) Has(i int) bool { return s.bits != nil && s.bits[i/8]&(1<<(i%8)) != 0 }

// roundRobin takes one after the other. Those in slow start miss some of their
// turns.
type roundRobin struct {
	rules
	next atomic.Uint32
}

func (r *roundRobin) Pick(c Choice) int {
	n := uint32(len(c.Members))
	// A turn that is missed is a turn, or the neighbour would have two.
	for range n {
		i := int(r.next.Add(1) % n)
		if w := r.weight(&c, i); r.can(&c, i) && (w == 1 || rand.Float64() < w) {
			return i
		}
	}
	// All miss theirs, or others have taken those between.
	return r.any(&c, -1)
}

// leastConn takes the one with the fewest requests in flight, any of them if there
// are several.
type leastConn struct{ rules }

func (l leastConn) Pick(c Choice) int {
	best, least, equal := -1, 0.0, 1
	for i, m := range c.Members {
		if !l.can(&c, i) {
			continue
		}
		switch load := float64(m.InFlight()+1) / l.weight(&c, i); {
		case best < 0 || load < least:
			best, least, equal = i, load, 1
		case load == least:
			if equal++; rand.IntN(equal) == 0 {
				best = i
			}
		}
	}
	return best
}

// p2c draws two and takes the one whose answer can be expected first: by latency
// times the requests in flight. Always taking the best of all would send everything
// to one until news of it comes back.
type p2c struct{ rules }

func (p p2c) Pick(c Choice) int {
	a := p.draw(&c, -1)
	if a < 0 {
		return -1
	}
	b := p.draw(&c, a)
	if b < 0 || p.cost(&c, a) <= p.cost(&c, b) {
		return a
	}
	return b
}

// draw takes any but one, each with the same chance.
func (p *p2c) draw(c *Choice, but int) int {
	n := len(c.Members)
	for range min(n, 4) {
		if i := rand.IntN(n); i != but && p.can(c, i) {
			return i
		}
	}
	return p.any(c, but) // most are out of the question
}

// unknown is the cost of one request that is with a replica which has not answered
// any yet: it gets one at first, and more only if all others are very slow.
const unknown = float64(time.Minute)

func (p *p2c) cost(c *Choice, i int) float64 {
	m := c.Members[i]
	busy := float64(m.InFlight())
	ns, known := m.latency.estimate(c.Now)
	if !known {
		return busy * unknown
	}
	return ns * (busy + 1) / p.weight(c, i)
}

// rendezvous takes the one with the highest score for the key. Who is out of the
// question changes nothing for the keys of others, and its own go to all of them.
// In slow start, a replica takes over its keys bit by bit.
type rendezvous struct{ rules }

func (h rendezvous) Pick(c Choice) int {
	best, highest := -1, 0.0
	for i, m := range c.Members {
		if !h.can(&c, i) {
			continue
		}
		// Weighted rendezvous hashing: -w/ln(u) for u evenly between 0 and 1.
		u := (float64(mix(m.identity^mix(c.Key))>>11) + 0.5) / (1 << 53)
		if score := -h.weight(&c, i) / math.Log(u); best < 0 || score > highest {
			best, highest = i, score
		}
	}
	return best
}
