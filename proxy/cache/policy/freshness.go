package policy

import (
	"net/http"
	"slices"
	"time"

	"portway/proxy/exchange"
)

// Freshness is how old a response was when it came, and how long it may be used
// (RFC 9111 section 4.2).
type Freshness struct {
	Lifetime   time.Duration
	Explicit   bool          // the origin has said so
	InitialAge time.Duration // corrected_initial_age: when the response was received
}

// heuristicShare and longestHeuristic bound what is fresh although the origin does
// not say so: a tenth of the time since its last change, a day at most.
const (
	heuristicShare   = 10
	longestHeuristic = 24 * time.Hour
)

// Evaluate finds out about a response to a request that was sent at request and
// answered at response. ttl is the lifetime of what the origin says nothing about;
// 0: it is estimated from Last-Modified.
func Evaluate(status int, f *exchange.Fields, c *ResponseControl, request, response time.Time, ttl time.Duration) Freshness {
	date, ok := ParseDate(f.Get("date"), response)
	if !ok {
		date = response
	}
	var fresh Freshness
	fresh.Lifetime, fresh.Explicit = explicit(f, c, date)
	switch {
	case fresh.Explicit || !HeuristicallyCacheable(status) && !c.Public:
	case ttl > 0:
		fresh.Lifetime = ttl
	default:
		if changed, ok := ParseDate(f.Get("last-modified"), response); ok && changed.Before(date) {
			fresh.Lifetime = min(date.Sub(changed)/heuristicShare, longestHeuristic)
		}
	}
	corrected := ReceivedAge(f) + response.Sub(request)
	fresh.InitialAge = max(response.Sub(date), corrected, 0)
	return fresh
}

// explicit is the lifetime that the origin gives (RFC 9111 section 4.2.1).
func explicit(f *exchange.Fields, c *ResponseControl, date time.Time) (time.Duration, bool) {
	switch {
	case c.SMaxAge != Absent:
		return c.SMaxAge, true
	case c.MaxAge != Absent:
		return c.MaxAge, true
	case c.Targeted:
		return 0, false
	}
	lifetime, found := time.Duration(0), false
	for name, value := range f.All() {
		if !exchange.EqualFold(name, "expires") {
			continue
		}
		left := time.Duration(0)
		if expires, ok := ParseDate(value, date); ok {
			left = max(expires.Sub(date), 0)
		}
		if !found || left < lifetime {
			lifetime, found = left, true
		}
	}
	return lifetime, found
}

// ReceivedAge reads Age: of a list the first member counts, and what is no number
// does not (RFC 9111 section 5.1).
func ReceivedAge(f *exchange.Fields) time.Duration {
	item, _, _ := cutItem(f.Get("age"))
	return max(seconds(item), 0)
}

// Age is how old a response is at now, if it was received at response.
func (f *Freshness) Age(response, now time.Time) time.Duration {
	return min(f.InitialAge, Any/2) + min(max(now.Sub(response), 0), Any/2)
}

// HeuristicallyCacheable tells whether a status may be stored when its response says
// nothing about it (RFC 9110 section 15.1), apart from 206.
func HeuristicallyCacheable(status int) bool {
	switch status {
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent, http.StatusMultipleChoices,
		http.StatusMovedPermanently, http.StatusPermanentRedirect, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusGone, http.StatusRequestURITooLong, http.StatusNotImplemented:
		return true
	}
	return false
}

// understood tells whether a status is one of RFC 9110 whose caching needs nothing
// that is not here.
func understood(status int) bool {
	switch {
	case 200 <= status && status <= 205, 300 <= status && status <= 303, status == 307, status == 308:
		return true
	case 400 <= status && status <= 415, status == 417, status == 421, status == 422, status == 426:
		return status != http.StatusUnauthorized && status != http.StatusProxyAuthRequired
	case 500 <= status && status <= 505:
		return true
	}
	return false
}

// Storable tells whether a response to a GET may be stored (RFC 9111 section 3).
// personal says that the request told the origin who the visitor is: by
// Authorization, or in another way that the response's Vary does not tell of.
func Storable(q *RequestControl, personal bool, status int, f *exchange.Fields, c *ResponseControl) bool {
	switch {
	case status < 200 || status == http.StatusPartialContent || status == http.StatusNotModified:
		return false
	case q.NoStore || c.Private:
		return false
	case c.MustUnderstand && !understood(status), c.NoStore && !c.MustUnderstand:
		return false
	case personal && !c.ForAll():
		return false
	}
	explicit := c.Public || c.MaxAge != Absent || c.SMaxAge != Absent || !c.Targeted && f.Has("expires")
	return explicit || HeuristicallyCacheable(status)
}

// ForAll tells whether a response may be stored and used although a request says who
// its visitor is (RFC 9111 section 3.5).
func (c *ResponseControl) ForAll() bool { return c.Public || c.MustRevalidate || c.SMaxAge != Absent }

// Unstored tells which fields of a response are not to be stored (RFC 9111 section
// 3.1): those that c names, those between a client and its own proxy, and Age,
// which is counted instead. What belongs to the connection is no field here.
func Unstored(c *ResponseControl, name []byte) bool {
	for _, n := range [...]string{"age", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization"} {
		if exchange.EqualFold(name, n) {
			return true
		}
	}
	is := func(n string) bool { return exchange.EqualFold(name, n) }
	return slices.ContainsFunc(c.NoCacheFields, is) || slices.ContainsFunc(c.PrivateFields, is)
}

// Use is what may be done with a stored response.
type Use uint8

// What may be done, by RFC 9111 section 4.
const (
	Reuse      Use = iota // answer with it
	Background            // answer with it, and validate it meanwhile (RFC 5861 section 3)
	Validate              // ask the origin first
)

// Decide tells what may be done with a stored response of a certain age. stale says
// that it would be used although it is not fresh.
func Decide(q *RequestControl, c *ResponseControl, lifetime, age time.Duration) (use Use, stale bool) {
	left := lifetime - age
	stale = left <= 0
	switch {
	case q.NoCache || c.NoCache:
		return Validate, stale
	case q.MaxAge != Absent && age > q.MaxAge, q.MinFresh != Absent && left < q.MinFresh:
		return Validate, stale
	case !stale:
		return Reuse, false
	case c.MustRevalidate || c.ProxyRevalidate:
		return Validate, true
	case q.MaxStale != Absent && -left <= q.MaxStale && c.SMaxAge == Absent:
		return Reuse, true
	case c.StaleWhileRevalidate != Absent && -left <= c.StaleWhileRevalidate && q.MaxAge == Absent && q.MinFresh == Absent:
		return Background, true
	}
	return Validate, true
}

// OnError tells whether a stored response may be used since the origin failed (RFC
// 5861 section 4). def is how long after its freshness that is allowed where neither
// side says so. s-maxage forbids it too (RFC 9111 section 5.2.2.10), but not where the
// same response has stale-if-error, as it does not forbid stale-while-revalidate then:
// who writes both means both.
func OnError(q *RequestControl, c *ResponseControl, lifetime, age, def time.Duration) bool {
	if c.NoCache || c.MustRevalidate || c.ProxyRevalidate || q.NoCache {
		return false
	}
	allowed := def
	switch {
	case c.StaleIfError != Absent:
		allowed = c.StaleIfError
	case c.SMaxAge != Absent:
		return false
	}
	if q.StaleIfError != Absent {
		allowed = max(allowed, q.StaleIfError)
	}
	return allowed > 0 && age-lifetime <= allowed
}

// IsError tells whether a status is an error that OnError is about.
func IsError(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
