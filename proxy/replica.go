package proxy

import (
	"sync"
	"sync/atomic"
	"time"

	"portway/proxy/balance"
	"portway/proxy/exchange"
	"portway/proxy/origintls"
	"portway/proxy/upstream"
	"portway/route"
)

// transport is what a replica's connections are asked for; *upstream.Pool.
type transport interface {
	RoundTrip(ex *exchange.Exchange) error
	Sweep(now time.Time)
	Close()
}

var _ transport = (*upstream.Pool)(nil)

// maxIdle is how many unused connections to a replica are kept until the sweeper
// finds them idle for too long. It is above what a burst leaves behind: with 64,
// 10,000 requests in flight opened a new connection for nearly each, until the ports
// towards the replica were used up by closed ones and it could not be reached.
const maxIdle = 4096

// dialPool makes the pool for u.
func dialPool(u route.Upstream, t balance.Timeouts, secure origintls.Options) transport {
	cfg := reach(u, secure)
	limit := func(d time.Duration) time.Duration {
		if d == 0 {
			return -1 // none
		}
		return d
	}
	cfg.DialTimeout, cfg.FirstByte, cfg.Idle = t.Dial, limit(t.FirstByte), limit(t.Idle)
	return upstream.NewPool(cfg)
}

// reach tells how to connect to u.
func reach(u route.Upstream, secure origintls.Options) upstream.Config {
	cfg := upstream.Config{Network: u.Network, Address: u.Address, Scheme: string(u.Scheme), MaxIdle: maxIdle}
	if u.Scheme == route.HTTPS {
		cfg.TLS = secure.Config(u.Address)
	}
	return cfg
}

// replica is the live state of one upstream. It outlives tables.
type replica struct {
	name string // for logs
	pool transport

	inFlight atomic.Int64
	retired  atomic.Bool // no table has it any more
	closing  sync.Once
}

// acquire counts an exchange in; false if the replica is not to be used any more.
func (r *replica) acquire() bool {
	r.inFlight.Add(1)
	if r.retired.Load() {
		r.release()
		return false
	}
	return true
}

// release counts an exchange out; the last one closes a retired replica.
func (r *replica) release() {
	if r.inFlight.Add(-1) == 0 && r.retired.Load() {
		r.closing.Do(r.pool.Close)
	}
}

// retire closes the replica once nothing is in flight.
func (r *replica) retire() {
	r.retired.Store(true)
	if r.inFlight.Load() == 0 {
		r.closing.Do(r.pool.Close)
	}
}

// replicas are those of all tables that are in use.
type replicas struct {
	dial func(route.Upstream, balance.Timeouts, origintls.Options) transport

	mu    sync.Mutex
	byKey map[poolKey]*replica
	old   []*replica // retired, perhaps still in flight
}

// replicaKey identifies a replica. One that moved is another one, even if it is
// the same container.
type replicaKey struct {
	id, network, address string
	scheme               route.Scheme
}

// poolKey tells replicas apart that routes use with different time limits, or TLS.
type poolKey struct {
	replica  replicaKey
	timeouts balance.Timeouts
	secure   origintls.Options
}

func keyOf(u route.Upstream) replicaKey { return replicaKey{u.ID, u.Network, u.Address, u.Scheme} }

func newReplicas(dial func(route.Upstream, balance.Timeouts, origintls.Options) transport) *replicas {
	return &replicas{dial: dial, byKey: make(map[poolKey]*replica)}
}

// of gives the replicas of upstreams, and adds them to used. One that is stopped,
// and was never seen otherwise, has none.
func (s *replicas) of(upstreams []route.Upstream, timeouts balance.Timeouts, secure origintls.Options, used map[*replica]struct{}) []*replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*replica, len(upstreams))
	for i, u := range upstreams {
		k := poolKey{keyOf(u), timeouts, secure}
		r := s.byKey[k]
		if r == nil {
			if u.State == route.Stopped {
				continue
			}
			r = &replica{name: u.Name, pool: s.dial(u, timeouts, secure)}
			s.byKey[k] = r
		}
		used[r] = struct{}{}
		list[i] = r
	}
	return list
}

// retain retires all that t does not use.
func (s *replicas) retain(t *table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, r := range s.byKey {
		if _, ok := t.used[r]; !ok {
			delete(s.byKey, k)
			s.old = append(s.old, r)
			r.retire()
		}
	}
}

// sweepEvery is how often pools are looked after: see upstream.Pool.Sweep.
const sweepEvery = 500 * time.Millisecond

// sweep looks after the pools until done is closed.
func (s *replicas) sweep(done <-chan struct{}) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var all []*replica
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			all = s.all(all[:0])
			for _, r := range all {
				r.pool.Sweep(now)
			}
			clear(all)
		}
	}
}

// all appends the replicas in use to list, and forgets old ones without exchanges.
func (s *replicas) all(list []*replica) []*replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.byKey {
		list = append(list, r)
	}
	busy := s.old[:0]
	for _, r := range s.old {
		if r.inFlight.Load() > 0 {
			busy = append(busy, r)
		}
	}
	clear(s.old[len(busy):])
	s.old = busy
	return append(list, busy...)
}

// close closes all pools.
func (s *replicas) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.byKey {
		r.retire()
	}
}
