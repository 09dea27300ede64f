package proxy

import (
	"errors"
	"net"
	"net/http"
	"time"

	"portway/proxy/balance"
	"portway/proxy/exchange"
	"portway/proxy/upstream"
	"portway/route"
)

// unavailable says why no replica can be asked.
func (o *origin) unavailable(ex *exchange.Exchange, set *replicaSet) {
	p := page{status: http.StatusServiceUnavailable, retry: 5 * time.Second}
	ex.Unanswered = true
	if len(set.upstreams) == 0 || len(set.ready) > 0 { // if there are some, all have retired: the end is near
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
	if advice := route.Advice(best.Name, best.State.String(), best.Reason); advice != "" {
		reason += "; " + advice
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

// failed answers for an origin that did not, and tells whether that is its fault.
// What the visitor is told has no addresses in it; the log has.
func (o *origin) failed(ex *exchange.Exchange, name string, err error) balance.Outcome {
	p := page{status: http.StatusBadGateway}
	outcome := balance.Bad
	var timeout net.Error
	switch {
	case ex.Canceled() != nil: // nobody reads the answer
		ex.Response.Status = http.StatusBadGateway
		return balance.Neither
	case errors.Is(err, exchange.ErrClientSlow):
		p.status, p.why, outcome = http.StatusRequestTimeout, "The request was sent too slowly.", balance.Neither
	case errors.Is(err, exchange.ErrClientGone):
		p.status, p.why, outcome = http.StatusBadRequest, "The request broke off.", balance.Neither
	case errors.Is(err, upstream.ErrBusy):
		p.status, p.why, p.retry = http.StatusServiceUnavailable, "The site is too busy.", time.Second
	case errors.Is(err, upstream.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		p.status, p.why = http.StatusGatewayTimeout, "The site took too long to answer."
	case errors.Is(err, upstream.ErrDial):
		p.why = "The site cannot be reached at the moment."
	case errors.Is(err, upstream.ErrInvalid):
		p.status, p.why, outcome = http.StatusInternalServerError, "The request could not be passed on.", balance.Neither
	default:
		p.why = "The site broke off without a proper answer."
	}
	ex.Unanswered = outcome == balance.Bad && !errors.Is(err, upstream.ErrBusy)
	o.server.fail(ex, p, errWith{name, err})
	return outcome
}

// errWith is an error with the name of the upstream that it is about.
type errWith struct {
	upstream string
	err      error
}

func (e errWith) Error() string { return e.upstream + ": " + e.err.Error() }
func (e errWith) Unwrap() error { return e.err }
