package balance

import (
	"math"
	"sync/atomic"
	"time"
)

// latency is a moving average of how long a replica takes to answer. It jumps to a
// sample above it, so that a replica which becomes slow is noticed at once (peak
// EWMA), and comes down from there with good answers: by time, if there are few, and
// by their number, or one late answer of a busy replica would count for as long as
// thousands of good ones take. Two updates at the same time may lose one.
type latency struct {
	average atomic.Uint64 // float64, nanoseconds; 0: nothing is known
	at      atomic.Int64
}

const (
	// memory is the time in which an old sample's weight falls to 1/e.
	memory = 10 * time.Second
	// keeps is what is left of it at most, by one more sample.
	keeps = 15.0 / 16
)

func decay(age int64) float64 { return math.Exp(-float64(max(age, 0)) / float64(memory)) }

// observe adds a sample.
func (l *latency) observe(d time.Duration, now int64) {
	sample := max(float64(d), 1)
	old := math.Float64frombits(l.average.Load())
	if old != 0 {
		if w := min(decay(now-l.at.Load()), keeps); sample < old*w {
			sample += (old - sample) * w
		}
	}
	l.at.Store(now)
	l.average.Store(math.Float64bits(sample))
}

// estimate is what the next answer may take. It falls with time, so that a slow
// replica which nobody asks any more gets another chance. known is false if there
// has been no answer.
func (l *latency) estimate(now int64) (ns float64, known bool) {
	old := math.Float64frombits(l.average.Load())
	return old * decay(now-l.at.Load()), old != 0
}

// Took notes how long the replica took to answer.
func (m *Member) Took(d time.Duration, now int64) { m.latency.observe(d, now) }
