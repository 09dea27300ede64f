// Package policy says what a shared HTTP cache may do with requests and responses:
// RFC 9111 (caching), RFC 5861 (stale answers), RFC 9213 (CDN-Cache-Control), and
// what of RFC 9110 caches need (validators, preconditions, ranges). All of it are
// functions of messages and times: nothing is stored here, and nothing is asked.
//
// Where a specification leaves a choice, the careful one is taken: what is written
// wrong makes an answer stale, never fresh.
package policy

import (
	"bytes"
	"strings"
	"time"

	"portway/proxy/exchange"
)

// Absent stands for a length of time that a message does not give.
const Absent = time.Duration(-1)

// maxDelta is what larger delta-seconds count as (RFC 9111 section 1.2.2).
const maxDelta = 1 << 31

// ResponseControl is what a response's Cache-Control, or CDN-Cache-Control in place
// of it, tells shared caches.
type ResponseControl struct {
	NoStore, NoCache, Private, Public               bool
	MustRevalidate, ProxyRevalidate, MustUnderstand bool
	Immutable                                       bool
	// NoCacheFields and PrivateFields are the fields, in lower case, that the qualified
	// forms name: they are not to be stored here.
	NoCacheFields, PrivateFields []string

	MaxAge, SMaxAge                    time.Duration // Absent, if not given; 0, if given wrong
	StaleWhileRevalidate, StaleIfError time.Duration // Absent, if not given or given wrong
	// Targeted says that this comes from CDN-Cache-Control, which makes
	// Cache-Control and Expires count for nothing.
	Targeted bool
}

// RequestControl is what a request's Cache-Control asks of caches.
type RequestControl struct {
	NoCache, NoStore, OnlyIfCached bool
	MaxAge, MinFresh               time.Duration // Absent, if not given
	MaxStale                       time.Duration // Absent, if not given; Any, if given without a number
	StaleIfError                   time.Duration // Absent, if not given
}

// Any is the longest time: a max-stale that has no number.
const Any = time.Duration(1<<63 - 1)

// ParseResponse reads a response's directives: those of CDN-Cache-Control, if it is
// there and well-formed (RFC 9213 section 2.2), otherwise those of Cache-Control.
func ParseResponse(f *exchange.Fields) ResponseControl {
	if c, ok := parseTargeted(f); ok {
		return c
	}
	c := newResponseControl()
	malformed := directives(f, "cache-control", func(name, value []byte, kind argument) {
		c.add(name, value, kind)
	})
	if malformed && (c.MaxAge > 0 || c.SMaxAge > 0) {
		// Nobody can tell where a directive ends: better stale than wrong.
		c.MaxAge = 0
		if c.SMaxAge > 0 {
			c.SMaxAge = 0
		}
	}
	return c
}

func newResponseControl() ResponseControl {
	return ResponseControl{MaxAge: Absent, SMaxAge: Absent, StaleWhileRevalidate: Absent, StaleIfError: Absent}
}

// add takes one directive.
func (c *ResponseControl) add(name, value []byte, kind argument) {
	switch string(name) {
	case "no-store":
		c.NoStore = true
	case "no-cache":
		if fields := fieldList(value, kind); fields != nil {
			c.NoCacheFields = append(c.NoCacheFields, fields...)
		} else {
			c.NoCache = true
		}
	case "private":
		if fields := fieldList(value, kind); fields != nil {
			c.PrivateFields = append(c.PrivateFields, fields...)
		} else {
			c.Private = true
		}
	case "public":
		c.Public = true
	case "must-revalidate":
		c.MustRevalidate = true
	case "proxy-revalidate":
		c.ProxyRevalidate = true
	case "must-understand":
		c.MustUnderstand = true
	case "immutable":
		c.Immutable = true
	case "max-age":
		c.MaxAge = lowest(c.MaxAge, freshFor(value, kind))
	case "s-maxage":
		c.SMaxAge = lowest(c.SMaxAge, freshFor(value, kind))
	case "stale-while-revalidate":
		c.StaleWhileRevalidate = lowest(c.StaleWhileRevalidate, delta(value, kind))
	case "stale-if-error":
		c.StaleIfError = lowest(c.StaleIfError, delta(value, kind))
	}
}

// freshFor reads the argument of max-age. One that is none makes a response stale
// (RFC 9111 section 4.2.1).
func freshFor(value []byte, kind argument) time.Duration { return max(delta(value, kind), 0) }

// ParseRequest reads a request's directives. Pragma: no-cache counts where there is
// no Cache-Control (RFC 9111 section 5.4). Arguments that are none are as if the
// directive were not there, but for max-age, which then asks for validation.
func ParseRequest(f *exchange.Fields) RequestControl {
	if !f.Has("cache-control") && !f.Has("pragma") {
		return RequestControl{MaxAge: Absent, MinFresh: Absent, MaxStale: Absent, StaleIfError: Absent}
	}
	c := RequestControl{MaxAge: Absent, MinFresh: Absent, MaxStale: Absent, StaleIfError: Absent}
	if !f.Has("cache-control") {
		directives(f, "pragma", func(name, _ []byte, _ argument) {
			c.NoCache = c.NoCache || string(name) == "no-cache"
		})
		return c
	}
	directives(f, "cache-control", func(name, value []byte, kind argument) {
		switch string(name) {
		case "no-cache":
			c.NoCache = true
		case "no-store":
			c.NoStore = true
		case "only-if-cached":
			c.OnlyIfCached = true
		case "max-age":
			c.MaxAge = lowest(c.MaxAge, freshFor(value, kind))
		case "min-fresh":
			c.MinFresh = max(c.MinFresh, delta(value, kind))
		case "max-stale":
			if kind == none {
				c.MaxStale = lowest(c.MaxStale, Any)
			} else {
				c.MaxStale = lowest(c.MaxStale, delta(value, kind))
			}
		case "stale-if-error":
			c.StaleIfError = lowest(c.StaleIfError, delta(value, kind))
		}
	})
	return c
}

// lowest is the smaller one of two times, of which either may be Absent: of a
// directive that is there twice, the stricter one counts.
func lowest(a, b time.Duration) time.Duration {
	switch {
	case a == Absent:
		return b
	case b == Absent:
		return a
	}
	return min(a, b)
}

// argument is what a directive has behind its name.
type argument uint8

const (
	none   argument = iota
	token           // name=value
	quoted          // name="value"
	broken          // white space around "=", or what is neither token nor quoted string
)

// longestName bounds directives' names that are worth a look.
const longestName = 32

// directives calls take for each directive in the lines of a field, its name in
// lower case. malformed says that a quoted string does not end: its quotation mark
// is then read as any other byte, so that no directive behind it is missed.
func directives(f *exchange.Fields, field string, take func(name, value []byte, kind argument)) (malformed bool) {
	for i := range f.Len() {
		l := f.At(i)
		if !exchange.EqualFold(l.Name, field) {
			continue
		}
		for rest := l.Value; len(rest) > 0; {
			var item []byte
			var ended bool
			if item, rest, ended = cutItem(rest); !ended {
				malformed = true
			}
			directive(item, take)
		}
	}
	return malformed
}

// directive takes one apart.
func directive(item []byte, take func(name, value []byte, kind argument)) {
	name, value, has := bytes.Cut(item, equals)
	kind := none
	if has {
		kind = token
		if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
			value, kind = value[1:n-1], quoted
		} else if !isToken(value) {
			kind = broken
		}
		if trimmed := trim(name); len(trimmed) != len(name) {
			name, kind = trimmed, broken
		}
	}
	if len(name) == 0 || len(name) > longestName {
		return
	}
	var lower [longestName]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	take(lower[:len(name)], value, kind)
}

var equals = []byte("=")

// cutItem cuts the first member off a list with commas; commas in quoted strings do
// not count. ended is false if a quoted string has no end.
func cutItem(list []byte) (item, rest []byte, ended bool) {
	inside := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			inside = !inside
		case c == '\\' && inside:
			i++
		case c == ',' && !inside:
			return trim(list[:i]), list[i+1:], true
		}
	}
	if !inside {
		return trim(list), nil, true
	}
	item, rest, _ = bytes.Cut(list, []byte(","))
	return trim(item), rest, false
}

// delta reads delta-seconds (RFC 9111 section 1.2.2), also in quotation marks;
// Absent if it is none.
func delta(value []byte, kind argument) time.Duration {
	if kind != token && kind != quoted {
		return Absent
	}
	return seconds(value)
}

func seconds(digits []byte) time.Duration {
	if len(digits) == 0 {
		return Absent
	}
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return Absent
		}
		n = min(10*n+int64(c-'0'), maxDelta)
	}
	return time.Duration(n) * time.Second
}

// fieldList reads the names of the qualified forms of no-cache and private, in lower
// case; nil if there are none, which is the unqualified form.
func fieldList(value []byte, kind argument) []string {
	if kind != quoted {
		return nil
	}
	var names []string
	for name := range bytes.SplitSeq(value, []byte(",")) {
		name = trim(name)
		if len(name) == 0 {
			continue
		}
		if !isToken(name) {
			return nil
		}
		names = append(names, strings.ToLower(string(name)))
	}
	return names
}

// isToken tells whether b is a token (RFC 9110 section 5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenChar(c) {
			return false
		}
	}
	return len(b) > 0
}

func tokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// trim removes optional white space (RFC 9110 section 5.6.3) on both sides.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
