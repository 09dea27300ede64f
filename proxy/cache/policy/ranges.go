package policy

import (
	"bytes"
	"time"

	"portway/proxy/exchange"
)

// Range is a part of a content: bytes From up to, but not including, To.
type Range struct{ From, To int64 }

// Len is how many bytes are in it.
func (r Range) Len() int64 { return r.To - r.From }

// RangeState is what becomes of a request for a range.
type RangeState uint8

// What may become of it.
const (
	NoRange       RangeState = iota // the whole content is to be sent
	OneRange                        // that range
	Unsatisfiable                   // 416: there is no such part
)

// ParseRange reads Range for a content of size bytes (RFC 9110 section 14.2). Other
// units, more than one range, and what is not written right are ignored, as a server
// may do.
func ParseRange(value []byte, size int64) (Range, RangeState) {
	first, last, suffix, ok := splitRange(value)
	switch {
	case !ok:
		return Range{}, NoRange
	case suffix:
		if last == 0 || size == 0 {
			return Range{}, Unsatisfiable
		}
		return Range{max(size-last, 0), size}, OneRange
	case first >= size:
		return Range{}, Unsatisfiable
	case last < 0 || last >= size:
		last = size - 1
	}
	return Range{first, last + 1}, OneRange
}

// splitRange reads "bytes=FIRST-LAST", "bytes=FIRST-" (last is -1) and
// "bytes=-LENGTH" (suffix).
func splitRange(value []byte) (first, last int64, suffix, ok bool) {
	unit, spec, found := bytes.Cut(value, equals)
	if !found || !equalFold(trim(unit), "bytes") {
		return 0, 0, false, false
	}
	from, to, found := bytes.Cut(trim(spec), []byte("-"))
	if !found {
		return 0, 0, false, false
	}
	first, last = position(from), position(to)
	switch {
	case len(from) == 0:
		return 0, last, true, last >= 0
	case first < 0, len(to) > 0 && (last < first):
		return 0, 0, false, false
	}
	return first, last, false, true
}

// position reads a number of bytes; -1 if it is none.
func position(digits []byte) int64 {
	if len(digits) == 0 || len(digits) > 18 {
		return -1
	}
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// IfRange tells whether a range may be taken from the stored response: the client
// has a part of it, or does not say what it has (RFC 9110 section 13.1.5).
func IfRange(request, stored *exchange.Fields, received time.Time) bool {
	value := request.Get("if-range")
	if value == nil {
		return true
	}
	if request.Count("if-range") > 1 {
		return false
	}
	if len(value) > 0 && (value[0] == '"' || value[0] == 'W') && bytes.IndexByte(value, '"') >= 0 {
		return !Weak(value) && bytes.Equal(value, stored.Get("etag"))
	}
	asked, ok := ParseDate(value, received)
	changed, known := ParseDate(stored.Get("last-modified"), received)
	date, dated := ParseDate(stored.Get("date"), received)
	// A date is strong only if the content cannot have changed twice within it.
	return ok && known && dated && asked.Equal(changed) && date.Sub(changed) >= time.Second
}

// ContentRange is what a 206 says about its content.
type ContentRange struct {
	Range
	Size int64 // of all; -1: not known
}

// ParseContentRange reads "bytes FIRST-LAST/SIZE" (RFC 9110 section 14.4).
func ParseContentRange(value []byte) (c ContentRange, ok bool) {
	unit, spec, found := bytes.Cut(trim(value), []byte(" "))
	if !found || !equalFold(unit, "bytes") {
		return c, false
	}
	span, size, found := bytes.Cut(trim(spec), []byte("/"))
	if !found {
		return c, false
	}
	from, to, found := bytes.Cut(span, []byte("-"))
	if !found {
		return c, false
	}
	c.From, c.To, c.Size = position(from), position(to)+1, position(size)
	if c.From < 0 || c.To <= c.From || c.Size < 0 && string(size) != "*" || c.Size >= 0 && c.To > c.Size {
		return ContentRange{}, false
	}
	return c, true
}
