package middleware

import (
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// rateLimit bounds how often clients may ask. Each has a bucket of tokens that is
// filled at the rate of the limit; a request takes one, and is refused where there is
// none. What counts as one client is an IPv4 address or an IPv6 /64 (what one
// customer gets), the value of a field, or everybody together.
type rateLimit struct {
	requests int           // per window; 0: no limit
	window   time.Duration // as given
	burst    int           // size of a bucket
	by       limitKey
	header   string // for byHeader, in lower case
}

// limitKey is what has a bucket of its own.
type limitKey string

const (
	byIP     limitKey = "ip"
	byRoute  limitKey = "route"
	byHeader limitKey = "header"
)

var _ Middleware = (*rateLimit)(nil)

// Labels binds rate-limit and its details.
func (m *rateLimit) Labels(s *label.Set) {
	s.Func("rate-limit", "requests/time",
		"How many requests a client may make in which time; what is too much gets 429.", m.parse, label.Example("100/1m"))
	s.Int(&m.burst, "rate-limit.burst", 0,
		"How many of them may come at once. As many as in `rate-limit`, if not given.",
		label.Needs("rate-limit"), label.Range(1, 1e6), label.Example("20"))
	m.by = byIP
	s.Func("rate-limit.by", "ip, route or header:Name",
		"What is counted as one client: an address (IPv6: a /64 network), everybody together, or a value of a header field "+
			"(by address where it is missing). Clients can invent values, so use a field that a trusted party sets.",
		m.parseKey, label.Needs("rate-limit"), label.Default(string(byIP)), label.Example("header:X-Api-Key"))
	s.Check("rate-limit", func() error {
		if m.burst == 0 {
			m.burst = min(m.requests, 1e6)
		}
		if m.interval() == 0 || m.interval() > math.MaxInt64/4/time.Duration(m.burst) {
			return &label.Error{Why: "is out of range", Fix: "choose a rate between a million requests in a second and one in a month"}
		}
		return nil
	})
}

// interval is the time in which one token comes.
func (m *rateLimit) interval() time.Duration { return m.window / time.Duration(m.requests) }

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day}

func (m *rateLimit) parse(value string) error {
	wrong := &label.Error{Why: label.Quote(value) + " is no rate", Fix: "write requests/time, for example 100/1m, 10/s or 5000/1h"}
	count, per, ok := strings.Cut(value, "/")
	count, per = strings.TrimSpace(count), strings.TrimSpace(per)
	if !ok || per == "" {
		return wrong
	}
	unit, ok := rateUnits[per[len(per)-1:]]
	number := per[:len(per)-1]
	if !ok || strings.HasPrefix(number, "+") || strings.HasPrefix(count, "+") {
		return wrong
	}
	times, err := uint64(1), error(nil)
	if number != "" {
		times, err = strconv.ParseUint(number, 10, 20)
	}
	requests, err2 := strconv.ParseUint(count, 10, 31)
	if err != nil || err2 != nil || times == 0 {
		return wrong
	}
	if requests == 0 {
		return &label.Error{Why: "would let nobody in", Fix: "give a number of requests above 0, or remove it"}
	}
	if times > uint64(31*day/unit) {
		return &label.Error{Why: label.Quote(value) + " has a time of more than 31 days", Fix: "choose a shorter one"}
	}
	m.requests, m.window = int(requests), time.Duration(times)*unit
	return nil
}

func (m *rateLimit) parseKey(value string) error {
	if name, ok := strings.CutPrefix(value, "header:"); ok {
		name = strings.TrimSpace(name)
		if !validName(name) {
			return &label.Error{Why: label.Quote(name) + " cannot name a field", Fix: "write for example header:X-Api-Key"}
		}
		m.by, m.header = byHeader, strings.ToLower(name)
		return nil
	}
	switch k := limitKey(value); k {
	case byIP, byRoute:
		m.by = k
		return nil
	}
	return &label.Error{Why: label.Quote(value) + " is not known here", Fix: "write ip, route, or header: and the name of a field"}
}

// Wrap adds the limit, if there is one.
func (m *rateLimit) Wrap(next exchange.Handler) exchange.Handler {
	if m.requests == 0 {
		return next
	}
	h := &limiter{
		next: next, byAll: m.by == byRoute, header: m.header, buckets: newBuckets(m.interval(), m.burst),
		addresses: maphash.MakeSeed(), values: maphash.MakeSeed(),
	}
	policy := strconv.AppendInt([]byte(policyName+";q="), int64(m.requests), 10)
	policy = strconv.AppendInt(append(policy, ";w="...), int64(m.window/time.Second), 10)
	h.policy = exchange.NewLine("RateLimit-Policy", string(policy))
	h.first = exchange.NewLines(h.policy,
		exchange.NewLine("RateLimit", string(appendLimit(nil, verdict{left: int64(m.burst - 1), full: m.interval()}))))
	return h
}

// policyName names the policy in the fields of the answer, as a structured string.
const policyName = `"portway"`

type limiter struct {
	next    exchange.Handler
	byAll   bool   // everybody together
	header  string // in lower case; empty: by address
	policy  *exchange.Line
	first   *exchange.Lines // what those are told whose bucket was full
	buckets *buckets

	addresses, values maphash.Seed // two, so that kinds of keys do not meet
}

var _ exchange.Handler = (*limiter)(nil)

var nameRateLimit = exchange.NewName("RateLimit")

// Serve takes a token, or refuses. Either way the answer tells how many are left
// (draft-ietf-httpapi-ratelimit-headers).
func (h *limiter) Serve(ex *exchange.Exchange) {
	now := ex.Start
	if now.IsZero() {
		now = time.Now()
	}
	v := h.buckets.take(h.key(ex), now)
	if v.ok {
		h.next.Serve(ex)
	} else {
		refuse(ex, http.StatusTooManyRequests, "There were too many requests from you in a short time.")
		retryAfter(ex, v.wait)
	}
	f := &ex.Response.Fields
	if v.first {
		f.AddLines(h.first)
		return
	}
	f.AddLine(h.policy)
	from := len(ex.Memory)
	ex.Memory = appendLimit(ex.Memory, v)
	f.AddNamed(nameRateLimit, taken(ex, from))
}

// appendLimit appends what is left, and when there will be all again.
func appendLimit(b []byte, v verdict) []byte {
	b = append(b, policyName+";r="...)
	b = strconv.AppendInt(b, v.left, 10)
	b = append(b, ";t="...)
	return strconv.AppendInt(b, seconds(v.full), 10)
}

// key tells who asks.
func (h *limiter) key(ex *exchange.Exchange) uint64 {
	switch {
	case h.byAll:
		return 0
	case h.header != "":
		if value := ex.Request.Fields.Get(h.header); len(value) > 0 {
			return maphash.Bytes(h.values, value)
		}
	}
	address := network(ex.ClientIP)
	return maphash.Bytes(h.addresses, address[:])
}

// network is an IPv4 address, or the /64 that an IPv6 address is in.
func network(a netip.Addr) (address [16]byte) {
	if a = a.Unmap(); a.Is4() {
		return a.As16()
	}
	address = a.As16() // without a zone
	clear(address[8:])
	return address
}
