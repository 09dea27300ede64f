package proxy

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"portway/proxy/balance"
	"portway/proxy/exchange"
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

	members map[*replica]*member // guarded by Server.setting
}

var _ exchange.Handler = (*origin)(nil)

// turn is the way of one exchange through the replicas.
type turn struct {
	set     *replicaSet
	key     uint64
	home    int         // the replica that its visitor stays with; -1: none
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
		i := t.next(ex)
		switch {
		case i >= 0:
		case t.err == nil && o.set.Load() != t.set: // all have retired, others have come
			t = o.begin(ex)
			t.last = last
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
			t.set.stay(ex, t.home, i)
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
	t := turn{set: o.set.Load(), home: -1}
	p := t.set.policy
	if p.Algorithm == balance.Hash {
		t.key = p.Key.Of(ex)
	}
	if p.Retry.Budget > 0 {
		o.budget.Request(ex.Start.UnixNano())
	}
	if p.cookies != nil {
		t.home = t.set.home(p.cookies.Take(ex))
	}
	return t
}

// next chooses a replica and counts ex in there; -1: there is none left. Those
// that are left out are asked only when there is no other, nor another route, rather
// than to give up.
func (t *turn) next(ex *exchange.Exchange) int {
	c := balance.Choice{Members: t.set.stats, Skip: t.skip, Key: t.key, Now: ex.Start.UnixNano(), Any: t.any}
	if t.err != nil {
		c.Now = time.Now().UnixNano()
	}
	if i := t.home; i >= 0 && t.err == nil {
		if m := t.set.ready[i]; m.Whole() && m.enter() {
			return i
		}
	}
	for {
		i := t.set.policy.picker.Pick(c)
		switch {
		case i < 0 && (c.Any || !t.last):
			return -1
		case i < 0:
			t.any, c.Any = true, true
			continue
		case !c.Any && !t.set.ready[i].Claim(c.Now): // another request tries it
			continue
		}
		if t.set.ready[i].enter() {
			return i
		}
		t.skipped(ex, i)
		c.Skip = t.skip
	}
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
	var sent time.Time
	if p.Algorithm == balance.P2C {
		sent = time.Now()
	}
	err := m.replica.pool.RoundTrip(ex)
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
		now := time.Now()
		m.Took(now.Sub(sent), now.UnixNano())
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
