package proxy

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"portway/proxy/balance"
	"portway/proxy/exchange"
	"portway/proxy/upstream"
	"portway/route"
)

// origin is the end of a route's chain: it gives each exchange to one of the
// replicas, in turn, and to another one if that cannot harm.
type origin struct {
	server *Server
	route  string // for people
	set    atomic.Pointer[replicaSet]
	next   atomic.Uint32
}

var _ exchange.Handler = (*origin)(nil)

// retryFor is how long after its beginning an exchange is still given to another
// replica.
const retryFor = 10 * time.Second

// Serve has one replica answer.
func (o *origin) Serve(ex *exchange.Exchange) {
	for {
		set := o.set.Load()
		if len(set.ready) == 0 {
			o.unavailable(ex, set)
			return
		}
		tried, name, err := o.try(ex, set)
		switch {
		case tried && err != nil:
			o.failed(ex, name, err)
			return
		case tried:
			return
		case o.set.Load() == set: // all retired, and no newer set: the end is near
			o.unavailable(ex, &replicaSet{})
			return
		}
	}
}

// try gives ex to one replica after another until one answers: first to those
// that take connections as far as we know, then, rather than to give up, to the
// others. name is that of the replica which err is about.
func (o *origin) try(ex *exchange.Exchange, set *replicaSet) (tried bool, name string, err error) {
	n := len(set.ready)
	first := int(o.next.Add(1) % uint32(n))
	if set.balance.Algorithm == balance.LeastConn {
		for i := range set.ready {
			if r := set.ready[i]; r.retryAt.Load() == 0 && r.inFlight.Load() < set.ready[first].inFlight.Load() {
				first = i
			}
		}
	}
	var done [4]uint64 // those that had their turn, of the first 256
	for _, desperate := range []bool{false, true} {
		for i := range min(n, 64*len(done)) {
			bit := uint64(1) << (i % 64)
			r := set.ready[(first+i)%n]
			if done[i/64]&bit != 0 || !desperate && !r.usable() {
				continue
			}
			done[i/64] |= bit
			if !r.acquire() {
				continue
			}
			tried, name = true, r.name
			if err = r.pool.RoundTrip(ex); err == nil {
				r.answered()
				ex.OnDone(r)
				return true, name, nil
			}
			r.release()
			if errors.Is(err, upstream.ErrDial) && ex.Canceled() == nil {
				r.refused(err)
			}
			if !repeatable(ex, err) {
				return true, name, err
			}
		}
	}
	return tried, name, err
}

// repeatable tells whether ex can be given to another replica after err.
func repeatable(ex *exchange.Exchange, err error) bool {
	switch {
	case ex.Canceled() != nil, time.Since(ex.Start) > retryFor:
		return false
	case errors.Is(err, upstream.ErrDial), errors.Is(err, upstream.ErrNotProcessed):
		return true
	case errors.Is(err, upstream.ErrTimeout), errors.Is(err, upstream.ErrInvalid):
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

// unavailable says why no replica can be asked.
func (o *origin) unavailable(ex *exchange.Exchange, set *replicaSet) {
	p := page{status: http.StatusServiceUnavailable, retry: 5 * time.Second}
	if len(set.upstreams) == 0 {
		p.why = "Nothing runs behind this site at the moment."
		o.server.fail(ex, p, errors.New("the route has no upstream"))
		return
	}
	best := set.upstreams[0]
	for _, u := range set.upstreams {
		if promise(u.State) > promise(best.State) {
			best = u
		}
	}
	switch best.State {
	case route.Starting:
		p.why, p.retry = "The site is starting.", 2*time.Second
	case route.Unhealthy:
		p.why = "The site is running, but its health check fails."
	case route.Paused:
		p.why = "The site is paused."
	case route.Stopping:
		p.why = "The site is being stopped or replaced."
	default:
		p.why = "The site is stopped."
	}
	reason := best.Name + " is " + best.State.String()
	if best.Reason != "" {
		reason += ": " + best.Reason
	}
	o.server.fail(ex, p, errors.New(reason))
}

// promise orders states by how soon they may become Ready.
func promise(s route.State) int {
	switch s {
	case route.Ready, route.Starting:
		return 4
	case route.Unhealthy:
		return 3
	case route.Stopping:
		return 2
	case route.Paused:
		return 1
	}
	return 0
}

// failed answers for an origin that did not. What the visitor is told has no
// addresses in it; the log has.
func (o *origin) failed(ex *exchange.Exchange, name string, err error) {
	p := page{status: http.StatusBadGateway}
	var timeout net.Error
	switch {
	case ex.Canceled() != nil: // nobody reads the answer
		ex.Response.Status = http.StatusBadGateway
		return
	case errors.Is(err, exchange.ErrClientSlow):
		p.status, p.why = http.StatusRequestTimeout, "The request was sent too slowly."
	case errors.Is(err, exchange.ErrClientGone):
		p.status, p.why = http.StatusBadRequest, "The request broke off."
	case errors.Is(err, upstream.ErrBusy):
		p.status, p.why, p.retry = http.StatusServiceUnavailable, "The site is too busy.", time.Second
	case errors.Is(err, upstream.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		p.status, p.why = http.StatusGatewayTimeout, "The site took too long to answer."
	case errors.Is(err, upstream.ErrDial):
		p.why = "The site cannot be reached at the moment."
	case errors.Is(err, upstream.ErrInvalid):
		p.status, p.why = http.StatusInternalServerError, "The request could not be passed on."
	default:
		p.why = "The site broke off without a proper answer."
	}
	o.server.fail(ex, p, errWith{name, err})
}

// errWith is an error with the name of the upstream that it is about.
type errWith struct {
	upstream string
	err      error
}

func (e errWith) Error() string { return e.upstream + ": " + e.err.Error() }
func (e errWith) Unwrap() error { return e.err }
