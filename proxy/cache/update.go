package cache

import (
	"slices"
	"time"

	"portway/proxy/cache/policy"
	"portway/proxy/exchange"
)

// fate is what becomes of what is stored after a response that is about it.
type fate uint8

const (
	renew fate = iota // it is replaced by what is up to date
	leave             // it stays as it is: the response was for its client only
	drop              // it must not be used any more
)

// renew does so.
func (h *handler) renew(key string, stored, next *object, f fate) {
	switch f {
	case renew:
		h.cache.replace(key, stored, next)
	case drop:
		h.cache.replace(key, stored, nil)
	}
}

// updated makes what is stored up to date by the response of ex, which has its fields,
// but no content: a 304, or an answer to HEAD. What a whole response could not be stored
// for, such a one is not stored for either; what it says is then for its client only.
func (h *handler) updated(stored *object, ex *exchange.Exchange, q *policy.RequestControl, begun time.Time) (*object, fate) {
	fresh := &ex.Response.Fields
	control := policy.ParseResponse(fresh)
	fields := policy.Updated(&stored.fields, fresh, &control)
	o := &object{
		status: stored.status, content: stored.content, length: stored.length, received: h.cache.now(),
		extra: stored.extra, vary: stored.vary, values: stored.values,
	}
	o.purges.Store(stored.purges.Load())
	o.fields = cloneFields(&fields, func(name []byte) bool { return h.unstored(&control, name) })
	o.control = policy.ParseResponse(&o.fields)
	vary, star := policy.VaryNames(&o.fields)
	if !slices.Equal(vary, stored.vary) {
		o.vary, o.values = vary, nil
		for _, name := range vary {
			o.values = appendPart(o.values, name, &ex.Request.Fields)
		}
	}
	h.date(o, fresh, begun)
	switch {
	case star || o.control.Private || o.control.NoStore && !o.control.MustUnderstand:
		return o, drop
	case h.setsCookie(fresh, &control), !policy.Storable(q, personal(ex), o.status, &o.fields, &o.control):
		return o, leave
	}
	return o, renew
}

// unstored tells whether a field of a response is for its client only.
func (h *handler) unstored(c *policy.ResponseControl, name []byte) bool {
	return policy.Unstored(c, name) || h.opts.ignoreCookie && exchange.EqualFold(name, "set-cookie")
}

// setsCookie tells whether a response sets a cookie, so that it is for its client only:
// unless the route or the origin itself says that the cookie is not to be stored, by
// which the rest is allowed to be.
func (h *handler) setsCookie(f *exchange.Fields, c *policy.ResponseControl) bool {
	return f.Has("set-cookie") && !h.unstored(c, nameSetCookie)
}

var nameSetCookie = []byte("Set-Cookie")

// date finishes an object whose response came just now: it gets a Date, if the
// response has none that can be read, and its age counts from now on.
func (h *handler) date(o *object, response *exchange.Fields, begun time.Time) {
	if _, ok := policy.ParseDate(response.Get("date"), o.received); !ok {
		o.fields.Del("date")
		o.fields.Add(nameDate, policy.AppendDate(nil, o.received))
	}
	timing := exchange.Fields{}
	for name, value := range o.fields.All() {
		timing.Add(name, value)
	}
	if age := response.Get("age"); age != nil {
		timing.Add(nameAge, age)
	}
	o.fresh = policy.Evaluate(o.status, &timing, &o.control, begun, o.received, h.opts.ttl)
	o.aged = policy.ReceivedAge(&timing)
	o.tags = tagsOf(&o.fields)
}
