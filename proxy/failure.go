package proxy

import (
	"time"

	"portway/proxy/exchange"
	"portway/route"
)

// Failure is a request that Portway itself had to answer, since nobody else could: for
// people who look for the reason.
type Failure struct {
	Time           time.Time
	RequestID      string
	Client         string
	Method         string
	Host, Path     string // as the client sent them; without the query, which may hold secrets
	Route, RouteID string // empty if none matched
	Status         int
	Told           string // what the visitor was told
	Cause          string // what was not told; may be empty
}

// maxShown bounds what is kept of what a client sent.
const maxShown = 512

func failure(ex *exchange.Exchange, status int, told string, cause error) Failure {
	asked := ex.Asked()
	f := Failure{
		Time: time.Now(), RequestID: ex.RequestID(), Client: ex.ClientIP.String(), Method: short(ex.Request.Method), Host: short(asked.Authority), Path: short(asked.Path),
		Route: ex.RouteName, RouteID: ex.RouteID, Status: status, Told: told,
	}
	if cause != nil {
		f.Cause = cause.Error()
	}
	return f
}

func short(b []byte) string { return string(b[:min(len(b), maxShown)]) }

// Replica is one of a route's upstreams with its live state.
type Replica struct {
	route.Upstream        // as in Upstreams
	InFlight       int64  // requests of this route that are with it, if it is Ready
	LeftOut        string // why it is not asked for now though it is Ready; empty: it is
}

// Replicas gives a route's upstreams as they are used now.
func (s *Server) Replicas(r *route.Route) []Replica {
	upstreams, ready := r.Upstreams, []*member(nil)
	if t := s.table.Load(); t != nil {
		if n := t.byID[r.ID]; n != nil {
			set := n.origin.set.Load()
			upstreams, ready = set.upstreams, set.ready
		}
	}
	list := make([]Replica, len(upstreams))
	now := time.Now().UnixNano()
	for i, u := range upstreams {
		list[i].Upstream = u
		if u.State != route.Ready || len(ready) == 0 {
			continue
		}
		m := ready[0] // they are in the order of upstreams
		ready = ready[1:]
		list[i].InFlight = m.InFlight()
		if !m.Open(now) {
			list[i].LeftOut = "it failed too often, or took no connections, and is given a rest"
		}
	}
	return list
}
