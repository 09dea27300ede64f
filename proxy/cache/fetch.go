package cache

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"portway/proxy/cache/policy"
	"portway/proxy/exchange"
)

// maxWaits bounds how often a request waits for a response that then turns out to be
// for others.
const maxWaits = 4

// fetch gets a response from the origin, or has part in one that is on its way.
func (h *handler) fetch(ex *exchange.Exchange, request asked, stored *object, how outcome) {
	a := &request // only here: a hit allocates nothing
	q := &ex.Request.Fields
	// Who asks for a range, or has a copy, gets that from the origin as it is: for all
	// we know it is the only one who wants it.
	special := stored == nil && (q.Has("range") || policy.Conditional(q))
	patient := !a.apart && !a.personal && !a.control.NoCache && !a.control.NoStore && a.control.MaxAge == policy.Absent && a.control.MinFresh == policy.Absent
	fits := func(o *object) bool { return o.fits(ex, a.extra) }
	for range maxWaits {
		var fl *flight
		var late *object
		first := false
		switch {
		case !patient:
		case special:
			fl = h.cache.flights.find(a.key, fits)
		default:
			fl, first = h.cache.flights.join(a.key, fits, func() bool {
				late = h.usable(ex, a)
				return late != nil || a.apart
			})
		}
		if first {
			h.lead(ex, a, stored, fl, how, special)
			return
		}
		if late != nil && h.answer(ex, late, hit, true, false, h.cache.now()) {
			h.counts.hits.Add(1)
			return
		}
		if fl == nil {
			break
		}
		served, again := h.follow(ex, a, fl, how)
		if served {
			return
		}
		if !again {
			break
		}
	}
	h.lead(ex, a, stored, h.cache.flights.begin(a.key), how, special)
}

// usable finds what is stored and can be used as it is. If there is nothing, it notes
// whether others are not to be waited for.
func (h *handler) usable(ex *exchange.Exchange, a *asked) *object {
	r := h.cache.find(a.key)
	if r == nil {
		return nil
	}
	a.apart = r.separate(h.cache.now())
	o := r.find(ex, a.extra)
	if o == nil || o.lost() {
		return nil
	}
	if use, _ := policy.Decide(&a.control, &o.control, o.fresh.Lifetime, o.age(h.cache.now())); use == policy.Validate {
		return nil
	}
	return o
}

// follow waits for a fetch that another request leads. again says that what it brings
// is for others, so that somebody else may lead to what is for us.
func (h *handler) follow(ex *exchange.Exchange, a *asked, fl *flight, how outcome) (served, again bool) {
	select {
	case <-fl.landed:
	default:
		select {
		case <-fl.landed:
		case <-ex.Context().Done():
			ex.Response.Status = http.StatusBadGateway // nobody reads it
			return true, false
		}
	}
	o := fl.object
	if o == nil {
		return false, false
	}
	if !o.fits(ex, a.extra) {
		return false, true
	}
	now := h.cache.now()
	if use, _ := policy.Decide(&a.control, &o.control, o.fresh.Lifetime, o.age(now)); use == policy.Validate && !fl.stale {
		return false, false
	}
	if !h.answer(ex, o, how+"; collapsed", true, false, now) {
		return false, false
	}
	h.counts.collapsed.Add(1)
	return true, false
}

// lead fetches for all who wait for fl.
func (h *handler) lead(ex *exchange.Exchange, a *asked, stored *object, fl *flight, how outcome, special bool) {
	f := &fetching{handler: h, extra: a.extra, control: &a.control, stored: stored, flight: fl, waited: true, special: special}
	o, sub := f.run(ex.Detach(), relay{ex})
	f.by.tell(ex)
	if o == nil {
		h.counts.misses.Add(1)
		adopt(ex, sub)
		h.tell(ex, how)
		return
	}
	defer f.unpin()
	if f.status != 0 {
		how += outcome("; fwd-status=" + strconv.Itoa(f.status))
	}
	if f.kept {
		how += "; stored"
	}
	if !h.answer(ex, o, how, f.stale, f.pin != nil, h.cache.now()) {
		// For example a range of what has no known length yet.
		h.counts.misses.Add(1)
		h.next.Serve(ex)
		h.tell(ex, how)
		return
	}
	switch {
	case f.stale:
		h.counts.stale.Add(1)
	case f.status == http.StatusNotModified:
		h.counts.validated.Add(1)
	default:
		h.counts.misses.Add(1)
	}
	for name, value := range f.own.All() {
		ex.Response.Fields.Add(name, value)
	}
}

// refresh validates what is stored while the client gets the old one.
func (h *handler) refresh(ex *exchange.Exchange, a asked, stored *object) {
	c := h.cache
	fl := c.flights.alone(a.key)
	if fl == nil {
		return
	}
	nothing := policy.ParseRequest(new(exchange.Fields))
	f := &fetching{handler: h, extra: stored.extra, control: &nothing, stored: stored, flight: fl}
	sub := ex.Detach()
	c.work.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				c.logPanic(exchange.NewPanicError(v))
			}
		}()
		if o, sub := f.run(sub, nil); o == nil {
			sub.Finish(0, nil)
			exchange.Put(sub)
		}
	})
}

// relay hands interim responses of a fetch on to the client who waits for it.
type relay struct{ client *exchange.Exchange }

var _ exchange.Front = relay{}

// Inform hands on an interim response.
func (r relay) Inform(_ *exchange.Exchange, status int, fields *exchange.Fields) {
	if r.client.Front != nil {
		r.client.Front.Inform(r.client, status, fields)
	}
}

// fetching is one fetch.
type fetching struct {
	*handler
	extra   []byte
	control *policy.RequestControl
	stored  *object // to be validated; nil: none
	flight  *flight
	waited  bool // by a client
	special bool // as that client has asked, with its conditions

	// What has come of it:
	status int    // of the origin's answer; 0: there was none
	stale  bool   // the object is the old one, since the origin failed
	kept   bool   // it is being stored
	purges uint64 // those that there were at the beginning
	pin    *reader
	own    exchange.Fields // those that are for the client only
	by     origin
}

// origin is who answered a fetch, for those who watch the proxy.
type origin struct {
	routeName, routeID, upstream string
	took                         time.Duration
}

// tell notes it for the client's exchange.
func (o *origin) tell(ex *exchange.Exchange) {
	if o.upstream != "" {
		ex.RouteName, ex.RouteID, ex.Upstream, ex.UpstreamTime = o.routeName, o.routeID, o.upstream, o.took
	}
}

// run has the origin answer sub. Either it returns an object to be used, and has taken
// care of sub, or sub, with a response that is for its client only.
func (f *fetching) run(sub *exchange.Exchange, front exchange.Front) (*object, *exchange.Exchange) {
	c := f.cache
	landed := false
	defer func() {
		if !landed { // a panic
			c.flights.end(f.flight)
			c.leave(sub)
			sub.Finish(0, nil)
		}
	}()
	if !c.enter(sub) {
		landed = true
		c.flights.end(f.flight)
		sub.Response.Status = http.StatusServiceUnavailable
		return nil, sub
	}
	sub.Front = front
	f.purges = c.purges.count()
	f.prepare(sub)
	begun := c.now()
	f.next.Serve(sub)
	sub.Front = nil
	f.by = origin{sub.RouteName, sub.RouteID, sub.Upstream, sub.UpstreamTime}
	p := &sub.Response
	if !sub.Unanswered {
		f.status = p.Status
	}
	landed = true
	var o *object
	others := true // may have it, too
	switch {
	case p.Status == http.StatusNotModified && f.stored != nil:
		if !policy.SameValidator(&f.stored.fields, &p.Fields) {
			return f.again(sub, front)
		}
		var becomes fate
		o, becomes = f.updated(f.stored, sub, f.control, begun)
		c.flights.commit(f.flight, func() { f.renew(f.flight.key, f.stored, o, becomes) })
		others = becomes == renew
		f.own = f.ownFields(&p.Fields)
	case f.stored != nil && f.standsIn(sub, f.control, f.stored, begun):
		o, f.stale = f.stored, true
	default:
		if o = f.keep(sub, begun); o != nil {
			f.fill(o, sub)
			return o, nil
		}
		f.outdated(sub)
		if !f.special {
			c.memory.apart(f.flight.key, c.now().Add(stayApart))
		}
		c.flights.end(f.flight)
		c.leave(sub)
		return nil, sub
	}
	if others {
		f.flight.land(o, f.stale)
	}
	c.flights.end(f.flight)
	c.finish(sub)
	return o, nil
}

// again asks once more, without a condition, after a 304 about something else than
// what is stored.
func (f *fetching) again(sub *exchange.Exchange, front exchange.Front) (*object, *exchange.Exchange) {
	next := sub.Detach()
	f.cache.finish(sub)
	f.stored = nil
	return f.run(next, front)
}

// prepare makes the request what the cache wants to know: the whole response, if it is
// not the one that is stored. What does not belong to the key does not reach the
// origin, as far as that is known.
func (f *fetching) prepare(sub *exchange.Exchange) {
	q := &sub.Request
	plainAddress(sub)
	if q.HasQuery && (f.opts.query != nil || f.opts.ignoreQuery != nil) {
		from := len(sub.Memory)
		sub.Memory = f.appendQuery(sub.Memory, q.Query)
		counts := sub.Memory[from:len(sub.Memory):len(sub.Memory)]
		if q.HasQuery = len(counts) > 0; q.HasQuery {
			counts = counts[1:]
		}
		q.Query = counts
	}
	if f.special {
		return
	}
	for _, name := range [...]string{"range", "if-range", "if-none-match", "if-modified-since"} {
		q.Fields.Del(name)
	}
	if f.stored == nil {
		return
	}
	if tag := f.stored.fields.Get("etag"); len(tag) > 0 {
		q.Fields.Add(nameIfNoneMatch, tag)
	}
	if changed := f.stored.fields.Get("last-modified"); len(changed) > 0 {
		q.Fields.Add(nameIfModifiedSince, changed)
	}
}

var (
	nameIfNoneMatch     = []byte("If-None-Match")
	nameIfModifiedSince = []byte("If-Modified-Since")
)

// outdated drops what is stored where the origin has now answered something else that
// is not stored. An error says nothing about it.
func (f *fetching) outdated(sub *exchange.Exchange) {
	if s := sub.Response.Status; f.stored != nil && s < 500 && s != http.StatusNotModified {
		f.cache.replace(f.flight.key, f.stored, nil)
	}
}

// keep makes an object of sub's response, without its content; nil if it is not to be
// stored.
func (f *fetching) keep(sub *exchange.Exchange, begun time.Time) *object {
	p := &sub.Response
	control := policy.ParseResponse(&p.Fields)
	status, length := whole(p)
	vary, star := policy.VaryNames(&p.Fields)
	switch {
	case star, p.Tunnel != nil, length > f.opts.maxObject, endless(&p.Fields):
		return nil
	case f.setsCookie(&p.Fields, &control):
		return nil
	case !policy.Storable(f.control, personal(sub), status, &p.Fields, &control):
		return nil
	}
	o := &object{status: status, length: length, control: control, vary: vary, received: f.cache.now()}
	o.fields = cloneFields(&p.Fields, func(name []byte) bool {
		return f.unstored(&control, name) || status != p.Status && exchange.EqualFold(name, "content-range")
	})
	f.own = f.ownFields(&p.Fields)
	f.date(o, &p.Fields, begun)
	if !f.useful(o) || f.silent(o, sub) {
		return nil
	}
	o.extra = bytes.Clone(f.extra)
	for _, name := range vary {
		o.values = appendPart(o.values, name, &sub.Request.Fields)
	}
	o.purges.Store(f.purges)
	return o
}

// ownFields copies those fields of a response that only the client gets who has asked.
func (f *fetching) ownFields(fields *exchange.Fields) exchange.Fields {
	control := policy.ParseResponse(fields)
	return cloneFields(fields, func(name []byte) bool {
		return !f.unstored(&control, name) || exchange.EqualFold(name, "age") || exchange.EqualFold(name, "content-range")
	})
}

// whole gives the status and length that a response is stored with. A part that is all
// of the content, as players ask for by "bytes=0-", is as good as the whole (RFC 9111
// section 3.3).
func whole(p *exchange.Response) (status int, length int64) {
	if p.Status == http.StatusPartialContent {
		if c, ok := policy.ParseContentRange(p.Fields.Get("content-range")); ok && c.From == 0 && c.To == c.Size && (p.Length < 0 || p.Length == c.Size) {
			return http.StatusOK, c.Size
		}
	}
	return p.Status, p.Length
}

// useful tells whether it makes sense to store o: it may be used at least once more.
func (f *fetching) useful(o *object) bool {
	if policy.HasValidator(&o.fields) {
		return true
	}
	return !o.control.NoCache && (o.fresh.Lifetime > o.age(o.received) || o.control.StaleIfError > 0 || o.control.StaleWhileRevalidate > 0)
}

// silent tells whether nothing says that o is for all: neither the origin does, nor is
// it sure that it did not know its visitor, who sent cookies.
func (f *fetching) silent(o *object, sub *exchange.Exchange) bool {
	return !o.fresh.Explicit && !o.control.Public && !f.opts.anyCookie && sub.Request.Fields.Has("cookie")
}

// endless tells whether a response is a stream that is for one client.
func endless(f *exchange.Fields) bool {
	const stream = "text/event-stream"
	t := f.Get("content-type")
	return len(t) >= len(stream) && exchange.EqualFold(t[:len(stream)], stream)
}
