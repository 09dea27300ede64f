package proxy

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"portway/proxy/balance"
	"portway/proxy/exchange"
	"portway/proxy/queue"
	"portway/proxy/upstream"
)

// origin is the end of a route's chain: it gives each exchange to one of the
// replicas, and to another one if that cannot harm. It outlives tables, and with it
// what its members have learnt.
type origin struct {
	server *Server
	route  string // its ID
	name   string // for people
	set    atomic.Pointer[replicaSet]
	group  balance.Group
	budget balance.Budget

	breaker balance.Breaker
	queue   queue.Queue[int] // for a place with a replica

	members map[*replica]*member // guarded by Server.setting
}

var _ exchange.Handler = (*origin)(nil)

// turn is the way of one exchange through the replicas.
type turn struct {
	set     *replicaSet
	key     uint64
	cookie  []byte      // what it says about where its visitor stays; nil: nothing
	home    int         // the replica that its visitor stays with; -1: none
	away    bool        // which has no room for it at the moment
	skip    balance.Set // those that had their turn
	any     bool        // also those that are left out may be asked
	last    bool        // there is no other route that could take the exchange
	retries int
	rounds  int
	name    string // of the replica that failed last
	err     error  // what it failed with; nil: none was asked
}

// Serve has one replica answer, unless the route's circuit breaker is open.
func (o *origin) Serve(ex *exchange.Exchange) { o.serve(ex, true) }

// serve is Serve. But if last is false, as another route could take ex, it returns
// false instead of asking replicas that are left out, or telling what is wrong; ex
// is as it was then.
func (o *origin) serve(ex *exchange.Exchange, last bool) (answered bool) {
	rules := &o.set.Load().policy.Breaker
	if rules.Percent == 0 {
		answered, _ = o.attempt(ex, last)
		return answered
	}
	probe, wait := o.breaker.Allow(rules, time.Now().UnixNano())
	if wait > 0 && !last {
		return false
	}
	if wait > 0 {
		ex.Unanswered = true
		o.server.fail(ex, page{status: http.StatusServiceUnavailable, retry: wait, why: "The site has failed too often and is given a rest."}, errOpen)
		return true
	}
	answered, outcome := o.attempt(ex, last)
	opened, closed := o.breaker.Done(rules, probe, outcome, time.Now().UnixNano())
	switch {
	case opened:
		o.server.logger.Warn("too many requests failed, the circuit breaker is open", "route", o.name, "for", rules.For)
	case closed:
		o.server.logger.Info("the origin answers again, the circuit breaker is closed", "route", o.name)
	}
	return answered
}

var errOpen = errors.New("the circuit breaker is open")

// attempt is serve without the circuit breaker.
func (o *origin) attempt(ex *exchange.Exchange, last bool) (answered bool, _ balance.Outcome) {
	t := o.begin(ex)
	t.last = last
	for {
		i, busy := o.next(ex, &t)
		if busy {
			var err error
			if i, err = o.queued(ex, &t); err != nil {
				return true, o.crowded(ex, err)
			}
		}
		switch {
		case i >= 0:
		case t.err == nil && o.set.Load() != t.set: // all have retired, others have come
			t.use(o.set.Load())
			continue
		case t.err == nil:
			if last {
				o.unavailable(ex, t.set)
			}
			return last, balance.Neither
		case !last:
			return false, balance.Bad
		case t.wait(ex): // and ask all once more
			continue
		default:
			return true, o.failed(ex, t.name, t.err)
		}
		m := t.set.ready[i]
		err := o.ask(ex, t.set, m)
		if err == nil {
			t.stay(ex, i)
			if failing(ex.Response.Status) {
				return true, balance.Bad
			}
			return true, balance.Good
		}
		t.skipped(ex, i)
		t.name, t.err = m.replica.name, err
		if p := t.set.policy; !p.repeatable(ex, err, t.retries) || p.Retry.Budget > 0 && !o.budget.Retry(time.Now().UnixNano(), p.Retry.Budget) {
			return true, o.failed(ex, t.name, t.err)
		}
		t.retries++
	}
}

// usable tells whether a replica can be given requests, as far as is known.
func (o *origin) usable() bool {
	now := time.Now().UnixNano()
	set := o.set.Load()
	if set.policy.Breaker.Percent > 0 && o.breaker.Resting(now) {
		return false
	}
	for _, m := range set.stats {
		if m.Open(now) {
			return true
		}
	}
	return false
}

// stays tells whether the visitor stays with one of the replicas.
func (o *origin) stays(ex *exchange.Exchange) bool {
	set := o.set.Load()
	if set.policy.cookies == nil {
		return false
	}
	i := set.home(set.policy.cookies.Given(ex))
	return i >= 0 && set.ready[i].Whole()
}

// begin looks what says where ex should go.
func (o *origin) begin(ex *exchange.Exchange) turn {
	var t turn
	set := o.set.Load()
	p := set.policy
	if p.Algorithm == balance.Hash {
		t.key = p.Key.Of(ex)
	}
	if p.Retry.Budget > 0 {
		o.budget.Request(ex.Start.UnixNano())
	}
	if p.cookies != nil {
		t.cookie = p.cookies.Take(ex)
	}
	t.use(set)
	return t
}

// use goes on with a set of which nobody had a turn yet.
func (t *turn) use(set *replicaSet) {
	t.set, t.home, t.skip, t.any = set, set.home(t.cookie), balance.Set{}, false
}

// next chooses a replica and counts ex in there; -1: there is none left, or with
// busy none at the moment. Those that are left out are asked only when there is no
// other, nor another route, rather than to give up.
func (o *origin) next(ex *exchange.Exchange, t *turn) (i int, busy bool) {
	if t.set.policy.Limit > 0 && o.queue.Waiting() {
		return -1, true
	}
	return t.next(ex)
}

func (t *turn) next(ex *exchange.Exchange) (i int, busy bool) {
	p := t.set.policy
	limit := int64(p.Limit)
	c := balance.Choice{Members: t.set.stats, Skip: t.skip, Key: t.key, Now: ex.Start.UnixNano(), Any: t.any}
	if t.err != nil || limit > 0 {
		c.Now = time.Now().UnixNano()
	}
	if i := t.home; i >= 0 && t.err == nil {
		m := t.set.ready[i]
		if m.Whole() && m.Enter(limit) {
			if m.replica.acquire() {
				return i, false
			}
			m.Leave()
		}
		t.away = m.Whole() && !m.replica.retired.Load()
	}
	for {
		i := p.picker.Pick(c)
		switch {
		case i < 0 && t.set.full(&c, limit):
			return -1, true
		case i < 0 && (c.Any || !t.last):
			return -1, false
		case i < 0:
			t.any, c.Any = true, true
			continue
		}
		m := t.set.ready[i]
		if !c.Any && !m.Claim(c.Now) || !m.Enter(limit) {
			continue // another request was faster
		}
		if m.replica.acquire() {
			return i, false
		}
		m.Leave()
		t.skipped(ex, i)
		c.Skip = t.skip
	}
}

// full tells whether c might find a replica if not so many requests were there
// already.
func (s *replicaSet) full(c *balance.Choice, limit int64) bool {
	if limit == 0 {
		return false
	}
	for i, m := range c.Members {
		if !c.Skip.Has(i) && (c.Any || m.Open(c.Now)) && m.InFlight() >= limit {
			return true
		}
	}
	return false
}

// queued waits until a replica has room, and gives it as next does.
func (o *origin) queued(ex *exchange.Exchange, t *turn) (int, error) {
	w := *t // a copy, so that a turn need not be on the heap if it does not come here
	i, err := o.queue.Wait(ex, t.set.policy.Queue, t.err != nil, func() (int, bool) {
		if set := o.set.Load(); set != w.set {
			w.use(set)
		}
		i, busy := w.next(ex)
		return i, !busy
	})
	*t = w
	return i, err
}

// crowded refuses a request that found no place, or waited for too long.
func (o *origin) crowded(ex *exchange.Exchange, err error) balance.Outcome {
	if ex.Canceled() != nil {
		return o.failed(ex, "", err)
	}
	o.server.fail(ex, page{status: http.StatusServiceUnavailable, retry: time.Second, why: "The site is too busy."}, err)
	return balance.Neither
}

// install has requests served by set from now on.
func (o *origin) install(set *replicaSet) {
	o.set.Store(set)
	o.queue.Serve() // perhaps there is room now
}

// skipped notes that a replica had its turn.
func (t *turn) skipped(ex *exchange.Exchange, i int) {
	if t.skip.Empty() {
		t.skip = balance.NewSet(ex, len(t.set.ready))
	}
	t.skip.Add(i)
}

// wait begins a new round if more retries were asked for than there are replicas.
// Each round waits twice as long as the one before.
func (t *turn) wait(ex *exchange.Exchange) bool {
	p := t.set.policy
	if p.Retry.Times == balance.RetryOthers {
		return false
	}
	pause := firstRound << min(t.rounds, 5)
	if time.Since(ex.Start)+pause > p.Retry.For {
		return false
	}
	t.rounds++
	t.skip = balance.Set{}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ex.Context().Done():
		return false
	}
}

// firstRound is how long a request waits that all replicas have failed to answer.
const firstRound = 50 * time.Millisecond

// ask gives ex to one replica, in which it is counted in, and notes what becomes of it.
func (o *origin) ask(ex *exchange.Exchange, set *replicaSet, m *member) error {
	p := set.policy
	timed := p.Algorithm == balance.P2C || o.server.cfg.Observer != nil
	var sent time.Time
	if timed {
		sent = time.Now()
	}
	err := m.replica.pool.RoundTrip(ex)
	ex.Upstream = m.replica.name
	if timed {
		ex.UpstreamTime = time.Since(sent)
	}
	switch {
	case err != nil:
		m.leave()
		if ex.Canceled() == nil {
			o.blame(set, m, err)
		}
		return err
	case p.Eject.After > 0 && failing(ex.Response.Status):
		o.fault(set, m, errStatus(ex.Response.Status))
		ex.OnDone((*faulty)(m))
		return nil
	}
	if !m.Whole() && m.Answered(time.Now().UnixNano()) {
		o.server.logger.Info("an origin answers again", "upstream", m.replica.name)
	}
	if p.Algorithm == balance.P2C {
		m.Took(ex.UpstreamTime, sent.Add(ex.UpstreamTime).UnixNano())
	}
	ex.OnDone(m)
	return nil
}

// repeatable tells whether ex can be given to another replica after err.
func (p *policy) repeatable(ex *exchange.Exchange, err error, retries int) bool {
	switch {
	case p.Retry.Times != balance.RetryOthers && retries >= p.Retry.Times:
		return false
	case ex.Canceled() != nil, time.Since(ex.Start) > p.Retry.For:
		return false
	case errors.Is(err, upstream.ErrDial), errors.Is(err, upstream.ErrNotProcessed):
		return true
	case errors.Is(err, upstream.ErrTimeout) && p.Retry.Times == balance.RetryOthers, errors.Is(err, upstream.ErrInvalid):
		return false
	}
	return ex.Request.Body == nil && ex.Request.Upgrade == nil && idempotent(ex.Request.Method)
}

// idempotent tells whether sending a request twice does what sending it once
// does (RFC 9110 section 9.2.2).
func idempotent(method []byte) bool {
	switch string(method) {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
