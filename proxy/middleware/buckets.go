package middleware

import (
	"sync"
	"time"
)

// buckets are token buckets by key, a hash with a secret seed: that two clients share
// a bucket by chance is as good as impossible with 64 bits, and cannot be brought about.
//
// A bucket is kept as the one moment at which it
// will be full again (the generic cell rate algorithm), so a bucket that is full needs
// no memory: it is as if there were none.
//
// Memory is bounded: each shard has at most shardSize buckets. A new one looks at a
// few others and drops those that are full again; where there is no room, it takes
// the place of the fullest of those few. That errs on the client's side: under a flood
// from very many addresses some get more than their due, but nobody is locked out.
type buckets struct {
	interval time.Duration // in which a token comes
	capacity time.Duration // how long an empty bucket takes to be full
	burst    int64         // tokens of a full one
	begin    time.Time     // moments are counted from here
	shards   [shardCount]shard
}

const (
	shardCount = 16
	shardSize  = 4096
	lookAt     = 8 // buckets that a new one looks at
)

type shard struct {
	mu     sync.Mutex
	fullAt map[uint64]time.Duration
	_      [64]byte // neighbours are used at the same time
}

// verdict is what became of a request.
type verdict struct {
	ok bool
	// first says that the bucket was full: all but one token are left.
	first bool
	left  int64         // tokens
	wait  time.Duration // until there is a token, if there was none
	full  time.Duration // until there are all
}

func newBuckets(interval time.Duration, burst int) *buckets {
	b := &buckets{interval: interval, capacity: interval * time.Duration(burst), burst: int64(burst), begin: time.Now()}
	for i := range b.shards {
		b.shards[i].fullAt = make(map[uint64]time.Duration)
	}
	return b
}

// take takes a token from the bucket of key. Calls need not come in the order of now.
func (b *buckets) take(key uint64, now time.Time) verdict {
	at := now.Sub(b.begin)
	s := &b.shards[key%shardCount]
	s.mu.Lock()
	full, known := s.fullAt[key]
	if !known || full < at {
		full = at
	}
	if missing := full + b.interval - at; missing > b.capacity {
		s.mu.Unlock()
		return verdict{wait: missing - b.capacity, full: full - at}
	}
	if !known {
		s.makeRoom(at)
	}
	s.fullAt[key] = full + b.interval
	s.mu.Unlock()
	if full == at {
		return verdict{ok: true, first: true, left: b.burst - 1, full: b.interval}
	}
	full += b.interval - at // from now
	return verdict{ok: true, left: int64((b.capacity - full) / b.interval), full: full}
}

// makeRoom drops buckets that are full, among those that it looks at.
func (s *shard) makeRoom(at time.Duration) {
	n := 0
	var fullest uint64
	var least time.Duration
	for key, fullAt := range s.fullAt { // in random order
		if fullAt <= at {
			delete(s.fullAt, key)
		} else if n == 0 || fullAt < least {
			fullest, least = key, fullAt
		}
		if n++; n == lookAt {
			break
		}
	}
	if len(s.fullAt) >= shardSize {
		delete(s.fullAt, fullest)
	}
}
