package cache

import (
	"net/http"
	"strconv"
	"time"

	"portway/proxy/cache/policy"
	"portway/proxy/exchange"
)

// handler is the cache of one route.
type handler struct {
	cache  *Cache
	route  string // its ID
	next   exchange.Handler
	opts   *Options
	counts *counters
}

var _ exchange.Handler = (*handler)(nil)

// asked is a request as the cache sees it.
type asked struct {
	key, extra []byte // in the exchange's memory
	control    policy.RequestControl
	personal   bool // it tells the origin who the visitor is
	apart      bool // not to wait for others
}

// Serve answers from the cache, or has the origin answer.
func (h *handler) Serve(ex *exchange.Exchange) {
	method := string(ex.Request.Method)
	switch {
	case method != http.MethodGet && method != http.MethodHead:
		h.change(ex, safe(method))
	case h.bypassed(ex) || !h.answers(method):
		h.counts.bypassed.Add(1)
		h.next.Serve(ex)
		h.tell(ex, bypass)
	default:
		h.lookUp(ex, method == http.MethodHead)
	}
}

// answers tells whether requests with that method are answered from the cache.
func (h *handler) answers(method string) bool {
	for _, m := range h.opts.methods {
		if m == method {
			return true
		}
	}
	return false
}

// safe tells whether a method changes nothing at the origin (RFC 9110 section 9.2.1).
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions || method == http.MethodTrace
}

// lookUp finds what is stored, and decides what to do with it.
func (h *handler) lookUp(ex *exchange.Exchange, head bool) {
	a := asked{key: h.key(ex), control: policy.ParseRequest(&ex.Request.Fields), personal: personal(ex)}
	a.extra = h.extra(ex)
	how := uriMiss
	r := h.cache.find(a.key)
	stored := r.find(ex, a.extra)
	if h.cache.disk != nil {
		r, stored = h.cache.deeper(ex, a.key, a.extra, r, stored)
	}
	if r != nil {
		a.apart = r.separate(h.cache.now())
		if stored == nil && len(r.variants) > 0 {
			how = varyMiss
		} else if stored != nil && !a.mayUse(stored) {
			stored, how = nil, forwardedRequest
		}
	}
	if stored != nil {
		now := h.cache.now()
		age := stored.age(now)
		use, stale := policy.Decide(&a.control, &stored.control, stored.fresh.Lifetime, age)
		switch {
		case use == policy.Validate && stale:
			how = expired
		case use == policy.Validate:
			how = forwardedRequest
		case h.answer(ex, stored, hit, true, false, now):
			if stale {
				h.counts.stale.Add(1)
			} else {
				h.counts.hits.Add(1)
			}
			if use == policy.Background {
				h.refresh(ex, a, stored)
			}
			return
		case stored.content.file != nil: // it cannot be read any more
			stored, how = nil, uriMiss
		}
	}
	if a.control.OnlyIfCached {
		h.notCached(ex)
		return
	}
	if head {
		h.forwardHead(ex, a, stored, how)
		return
	}
	h.fetch(ex, a, stored, how)
}

// personal tells whether a request says who the visitor is, in a way that answers need
// not tell of by Vary.
func personal(ex *exchange.Exchange) bool {
	return ex.Identified || ex.Request.Fields.Has("authorization")
}

// mayUse tells whether o is for this request too: who says who it is gets only what may
// be stored for somebody who does (RFC 9111 section 3.5). More is allowed, but many an
// origin answers such a visitor otherwise, and does not say so by Vary.
func (a *asked) mayUse(o *object) bool { return !a.personal || o.control.ForAll() }

// find gives what is stored by key and has not been purged.
func (c *Cache) find(key []byte) *resource {
	r := c.memory.get(key)
	if r == nil {
		return nil
	}
	return c.purges.check(c, r)
}

// notCached answers a request that wants nothing from the origin (RFC 9111 section
// 5.2.1.7).
func (h *handler) notCached(ex *exchange.Exchange) {
	h.counts.misses.Add(1)
	p := &ex.Response
	p.Status, p.Length = http.StatusGatewayTimeout, 0
	p.Fields.AddString("Cache-Control", "no-store")
	h.tell(ex, onlyIfCached)
}

// forwardHead has the origin answer HEAD, and learns from that about what is stored
// (RFC 9111 section 4.3.5).
func (h *handler) forwardHead(ex *exchange.Exchange, a asked, stored *object, how outcome) {
	begun := h.cache.now()
	h.next.Serve(ex)
	if stored != nil && h.standsIn(ex, &a.control, stored, begun) {
		if !ex.Unanswered {
			how += outcome("; fwd-status=" + strconv.Itoa(ex.Response.Status))
		}
		ex.Response.Clear()
		h.answer(ex, stored, how, true, false, h.cache.now())
		h.counts.stale.Add(1)
		return
	}
	h.counts.misses.Add(1)
	if p := &ex.Response; stored != nil && p.Status == http.StatusOK && stored.status == http.StatusOK && stored.content.complete.Load() {
		next, fate := (*object)(nil), drop
		if policy.SameValidator(&stored.fields, &p.Fields) && (p.Length < 0 || p.Length == stored.content.size) {
			next, fate = h.updated(stored, ex, &a.control, begun)
		}
		h.renew(string(a.key), stored, next, fate)
	}
	h.tell(ex, how)
}

// standsIn tells whether what is stored may be used although it is stale, in place of
// what ex has brought: an error of the origin, or nothing at all, as when a cache is
// disconnected (RFC 9111 section 4.2.4).
func (h *handler) standsIn(ex *exchange.Exchange, q *policy.RequestControl, stored *object, begun time.Time) bool {
	allowed := h.opts.staleIfError
	switch {
	case ex.Unanswered:
		allowed = max(allowed, h.opts.staleIfDown)
	case !policy.IsError(ex.Response.Status):
		return false
	}
	return policy.OnError(q, &stored.control, stored.fresh.Lifetime, stored.age(begun), allowed)
}
