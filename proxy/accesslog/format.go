package accesslog

import (
	"crypto/tls"
	"encoding/binary"
	"strconv"
	"unicode/utf8"

	"portway/internal/redact"
	"portway/proxy/observe"
)

// structured makes JSON or logfmt lines of columns.
func structured(all []column, json bool) func(b []byte, e observe.Event) []byte {
	// What stands before each value, with what parts it from the value before.
	before := make([]string, len(all))
	for i, c := range all {
		switch {
		case !json:
			before[i] = " " + c.name + "="
		case c.kind == number:
			before[i] = `,"` + c.name + `":`
		default:
			before[i] = `,"` + c.name + `":"`
		}
	}
	return func(b []byte, e observe.Event) []byte {
		begin := len(b)
		for i := range all {
			c := &all[i]
			name := before[i]
			if !json && len(b) == begin {
				name = name[1:]
			}
			last := len(b)
			b = append(b, name...)
			at := len(b)
			var there bool
			switch b, there = c.value(b, e); {
			case !there:
				b = b[:last]
			case c.kind == number:
			case !json:
				b = quoteFrom(b, at)
			case c.kind == text && needsEscape(b[at:]):
				b = appendJSON(b[:at-1], string(b[at:]))
			default:
				b = append(b, '"')
			}
		}
		if !json {
			return b
		}
		if len(b) == begin {
			return append(b, "{}"...)
		}
		b[begin] = '{' // instead of the comma
		return append(b, '}')
	}
}

// quoteFrom puts what begins at at into quotes where logfmt needs them, as a string of JSON.
func quoteFrom(b []byte, at int) []byte {
	quote := len(b) == at
	for _, c := range b[at:] {
		if c <= ' ' || c == '"' || c == '\\' || c == '=' || c >= 0x7f {
			quote = true
			break
		}
	}
	if !quote {
		return b
	}
	return appendJSON(b[:at], string(b[at:]))
}

// needsEscape tells whether value is more than printable ASCII without quotes and backslashes.
func needsEscape(value []byte) bool {
	n := len(value)
	if n < 8 {
		for _, c := range value {
			if c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
				return true
			}
		}
		return false
	}
	// Eight bytes at once; the last eight may overlap those before.
	for i := 0; i < n-8; i += 8 {
		if odd8(binary.LittleEndian.Uint64(value[i:])) {
			return true
		}
	}
	return odd8(binary.LittleEndian.Uint64(value[n-8:]))
}

// odd8 is needsEscape for eight bytes.
func odd8(x uint64) bool {
	const (
		low  = 0x0101010101010101
		high = 0x80 * low
	)
	quote, slash, del := x^'"'*low, x^'\\'*low, x^0x7f*low
	// The high bit of a byte tells: it was below ' ', or was one of the three, or was set.
	return ((x-' '*low)&^x|(quote-low)&^quote|(slash-low)&^slash|(del-low)&^del|x)&high != 0
}

// appendJSON appends value as a string of JSON. Bytes that are not UTF-8 become U+FFFD.
func appendJSON(b []byte, value string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range value {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// classic makes lines in the Common Log Format, or with Referer and User-Agent in the
// combined one, as NCSA's and Apache's servers wrote them.
func classic(combined bool, h redact.Names) func(b []byte, e observe.Event) []byte {
	started := &seconds{layout: "02/Jan/2006:15:04:05 -0700"}
	return func(b []byte, e observe.Event) []byte {
		ex := e.Exchange
		q := &ex.Request
		if ex.ClientIP.IsValid() {
			b = ex.AppendClientIP(b)
		} else {
			b = append(b, '-')
		}
		b = append(b, " - - ["...)
		b = started.append(b, ex.Start)
		b = append(b, `] "`...)
		b = appendQuoted(b, q.Method)
		b = appendQuoted(append(b, ' '), q.Path)
		if q.HasQuery {
			at := len(b)
			b = h.AppendQuery(append(b, '?'), q.Query)
			query := string(b[at:])
			b = appendQuoted(b[:at], []byte(query))
		}
		b = append(append(b, ' '), protocol(ex)...)
		b = strconv.AppendInt(append(b, `" `...), int64(ex.Response.Status), 10)
		b = append(b, ' ')
		if e.Sent == 0 {
			b = append(b, '-')
		} else {
			b = strconv.AppendInt(b, e.Sent, 10)
		}
		if !combined {
			return b
		}
		at := len(b)
		b = h.AppendURL(b, q.Fields.Get("referer"))
		referer := string(b[at:])
		b = appendOrDash(append(b[:at], ' '), []byte(referer))
		return appendOrDash(append(b, ' '), q.Fields.Get("user-agent"))
	}
}

func appendOrDash(b, value []byte) []byte {
	if len(value) == 0 {
		return append(b, `"-"`...)
	}
	return append(appendQuoted(append(b, '"'), value), '"')
}

// appendQuoted escapes as Apache does: quotes, backslashes, and what is not printable.
func appendQuoted(b, value []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range value {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&0xf])
		default:
			b = append(b, c)
		}
	}
	return b
}

func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return "?"
}
