package policy

import (
	"bytes"
	"time"

	"portway/proxy/exchange"
)

// Conditional tells whether a request asks for its answer only if something holds
// that a cache can judge by what it stores: If-None-Match or If-Modified-Since.
func Conditional(f *exchange.Fields) bool {
	return f.Has("if-none-match") || f.Has("if-modified-since")
}

// OriginOnly tells whether a request has a precondition that only its origin can
// judge (RFC 9111 section 4.3.2).
func OriginOnly(f *exchange.Fields) bool {
	return f.Has("if-match") || f.Has("if-unmodified-since")
}

// NotModified tells whether a conditional request is to be answered with 304, since
// the client has what is stored (RFC 9110 section 13.2.2). received is when the
// stored response came.
func NotModified(request, stored *exchange.Fields, received time.Time) bool {
	if request.Has("if-none-match") {
		tag := stored.Get("etag")
		for name, value := range request.All() {
			if exchange.EqualFold(name, "if-none-match") && matchesAny(value, tag) {
				return true
			}
		}
		return false
	}
	since, ok := ParseDate(request.Get("if-modified-since"), received)
	if !ok || request.Count("if-modified-since") > 1 {
		return false
	}
	changed, ok := ParseDate(stored.Get("last-modified"), received)
	if !ok {
		if changed, ok = ParseDate(stored.Get("date"), received); !ok {
			changed = received
		}
	}
	return !changed.After(since)
}

// matchesAny compares tag weakly with a list of entity tags (RFC 9110 section
// 8.8.3.2).
func matchesAny(list, tag []byte) bool {
	if string(trim(list)) == "*" {
		return true
	}
	if len(tag) == 0 {
		return false
	}
	tag = opaque(tag)
	for len(list) > 0 {
		var item []byte
		if item, list, _ = cutTag(list); len(item) > 0 && bytes.Equal(opaque(item), tag) {
			return true
		}
	}
	return false
}

// cutTag cuts the first entity tag off a list. Unlike in a quoted string, "\" has no
// meaning in a tag.
func cutTag(list []byte) (tag, rest []byte, found bool) {
	inside := false
	for i, c := range list {
		switch {
		case c == '"':
			inside = !inside
		case c == ',' && !inside:
			return trim(list[:i]), list[i+1:], true
		}
	}
	return trim(list), nil, false
}

// opaque is an entity tag without the mark of a weak one.
func opaque(tag []byte) []byte {
	if len(tag) >= 2 && tag[0] == 'W' && tag[1] == '/' {
		return tag[2:]
	}
	return tag
}

// Weak tells whether tag is not one that stands for the very same bytes.
func Weak(tag []byte) bool { return len(tag) < 2 || tag[0] != '"' }

// SameValidator tells whether a 304 or an answer to HEAD is about the stored
// response, as far as it says (RFC 9111 section 4.3.4): what both have must agree.
func SameValidator(stored, fresh *exchange.Fields) bool {
	if tag := fresh.Get("etag"); tag != nil {
		return bytes.Equal(opaque(tag), opaque(stored.Get("etag")))
	}
	if changed := fresh.Get("last-modified"); changed != nil && stored.Has("last-modified") {
		return bytes.Equal(changed, stored.Get("last-modified"))
	}
	return true
}

// HasValidator tells whether a response can be validated.
func HasValidator(f *exchange.Fields) bool { return f.Has("etag") || f.Has("last-modified") }

// Updated makes the fields that a stored response has after a 304 or an answer to
// HEAD (RFC 9111 section 3.2): fields of fresh replace those of the same name. Fields
// that say how the stored content is to be read stay what they are. Nothing is
// copied.
func Updated(stored, fresh *exchange.Fields, c *ResponseControl) exchange.Fields {
	var all exchange.Fields
	kept := func(name []byte) bool {
		return exchange.EqualFold(name, "content-length") || exchange.EqualFold(name, "content-encoding") ||
			exchange.EqualFold(name, "content-range")
	}
	for name, value := range stored.All() {
		if kept(name) || !hasName(fresh, name) {
			all.Add(name, value)
		}
	}
	for name, value := range fresh.All() {
		if !kept(name) && !Unstored(c, name) {
			all.Add(name, value)
		}
	}
	return all
}

func hasName(f *exchange.Fields, name []byte) bool {
	for i := range f.Len() {
		if bytes.EqualFold(f.At(i).Name, name) {
			return true
		}
	}
	return false
}

// In304 tells whether a stored field belongs into a 304 (RFC 9110 section 15.4.5):
// not those that describe content which is not sent.
func In304(name []byte) bool {
	const content = "content-"
	if len(name) < len(content) || !equalFold(name[:len(content)], content) {
		return true
	}
	return exchange.EqualFold(name, "content-location") || exchange.EqualFold(name, "content-security-policy") ||
		exchange.EqualFold(name, "content-security-policy-report-only")
}
