package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"portway/proxy/balance"
	"portway/proxy/exchange"
	"portway/proxy/upstream"
	"portway/route"
)

// policy is how the requests of a route are shared. It is never changed.
type policy struct {
	balance.Options
	picker  balance.Picker
	cookies *balance.Cookies // nil: visitors do not stay
}

// replicaSet is what one route is served by, at one time. It is never changed.
type replicaSet struct {
	policy    *policy
	ready     []*member
	stats     []*balance.Member // of ready, for the picker
	stays     []stay            // of ready; nil if visitors do not stay
	upstreams []route.Upstream  // the others too, to tell why there is none
}

// member is a replica as one of those of a route.
type member struct {
	balance.Member
	origin  *origin
	replica *replica
}

// assemble makes the next set. all are the replicas of upstreams, nil where one is
// not known. It is called by one goroutine at a time.
func (o *origin) assemble(upstreams []route.Upstream, all []*replica, options balance.Options) *replicaSet {
	prev := o.set.Load()
	set := &replicaSet{upstreams: upstreams}
	if prev != nil && reflect.DeepEqual(prev.policy.Options, options) {
		set.policy = prev.policy
	} else {
		set.policy = &policy{Options: options, picker: balance.NewPicker(&options), cookies: options.Sticky.Cookies(o.route)}
	}
	now := time.Now().UnixNano()
	members := make(map[*replica]*member, len(all))
	for i, u := range upstreams {
		r := all[i]
		if r == nil {
			continue
		}
		m := o.members[r]
		if m == nil {
			m = &member{origin: o, replica: r}
			m.Init(u.ID)
		}
		members[r] = m
		if u.State != route.Ready {
			continue
		}
		if prev != nil && len(prev.ready) > 0 && !prev.has(m) {
			m.Begin(now)
		}
		set.ready = append(set.ready, m)
		set.stats = append(set.stats, &m.Member)
		if c := set.policy.cookies; c != nil {
			set.stays = append(set.stays, newStay(c, u.ID))
		}
	}
	o.members = members
	o.group.Keep(set.stats, &options.Eject, now)
	return set
}

// has tells whether m is ready.
func (s *replicaSet) has(m *member) bool {
	for _, other := range s.ready {
		if other == m {
			return true
		}
	}
	return false
}

// stay is what makes visitors stay with one replica.
type stay struct {
	value string
	lines [2][]byte // Set-Cookie for plain HTTP, and for HTTPS
}

func newStay(c *balance.Cookies, id string) stay {
	v := c.Value(id)
	return stay{v, [2][]byte{[]byte(c.Line(v, false)), []byte(c.Line(v, true))}}
}

// home is the replica that a cookie's value names; -1 if there is none.
func (s *replicaSet) home(value []byte) int {
	for i := range s.stays {
		if string(value) == s.stays[i].value {
			return i
		}
	}
	return -1
}

// stay tells a visitor's browser that replica i has answered, if that is news. One
// that is only too busy at the moment remains its visitors' home.
func (t *turn) stay(ex *exchange.Exchange, i int) {
	s := t.set
	if s.stays == nil || i == t.home || t.away {
		return
	}
	line := s.stays[i].lines[0]
	if ex.Conn.TLS != nil || exchange.EqualFold(ex.Request.Fields.Get("x-forwarded-proto"), "https") {
		line = s.stays[i].lines[1]
	}
	ex.Response.Fields.Add(setCookie, line)
}

var setCookie = []byte("Set-Cookie")

// leave counts an exchange out, and lets one in that waits.
func (m *member) leave() {
	m.Leave()
	m.replica.release()
	m.origin.queue.Serve()
}

var (
	_ exchange.DoneFunc = (*member)(nil)
	_ exchange.DoneFunc = (*faulty)(nil)
)

// Done counts an exchange out that had a good answer, up to its head.
func (m *member) Done(ex *exchange.Exchange, _ int64, err error) {
	m.leave()
	switch {
	case err == nil:
		m.Well()
	case ex.Canceled() == nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, upstream.ErrTimeout)):
		m.origin.fault(m.origin.set.Load(), m, err)
	}
}

// faulty is a member whose answer counts as a failure already.
type faulty member

// Done counts the exchange out.
func (m *faulty) Done(*exchange.Exchange, int64, error) { (*member)(m).leave() }

// failing tells whether an answer says that a replica cannot do its work.
func failing(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// errStatus is an answer that counts as a failure.
type errStatus int

func (e errStatus) Error() string { return fmt.Sprintf("it answered %d", int(e)) }

// blame notes that a replica gave no answer, if that is its fault.
func (o *origin) blame(set *replicaSet, m *member, err error) {
	switch {
	case errors.Is(err, upstream.ErrInvalid), errors.Is(err, exchange.ErrClientGone), errors.Is(err, exchange.ErrClientSlow):
		return
	case errors.Is(err, upstream.ErrDial):
		if m.Refused(time.Now().UnixNano()) {
			o.server.logger.Warn("an origin takes no connections, it is left out for now", "upstream", m.replica.name, "error", err)
		}
	}
	o.fault(set, m, err)
}

// fault counts a failure, which may be one too many.
func (o *origin) fault(set *replicaSet, m *member, err error) {
	rules := &set.policy.Eject
	if rules.After == 0 {
		return
	}
	if d := o.group.Failed(set.stats, &m.Member, rules, time.Now().UnixNano()); d > 0 {
		o.server.logger.Warn("an origin fails again and again, it is left out", "upstream", m.replica.name, "for", d, "error", err)
	}
}
