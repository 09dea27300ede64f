package accesslog

import (
	"crypto/tls"
	"strconv"
	"unicode/utf8"

	"portway/internal/redact"
)

// structured makes JSON or logfmt lines of columns.
func structured(all []column, json bool) func(b []byte, l *line) []byte {
	separator := byte(' ')
	if json {
		separator = ','
	}
	return func(b []byte, l *line) []byte {
		if json {
			b = append(b, '{')
		}
		first := true
		for i := range all {
			c := &all[i]
			begin := len(b)
			if !first {
				b = append(b, separator)
			}
			if json {
				b = append(append(append(b, '"'), c.name...), `":`...)
			} else {
				b = append(append(b, c.name...), '=')
			}
			at := len(b)
			var k kind
			b, k = c.value(b, l)
			switch k {
			case none:
				b = b[:begin]
				continue
			case text:
				b = quoteFrom(b, at, !json)
			}
			first = false
		}
		if json {
			b = append(b, '}')
		}
		return b
	}
}

// quoteFrom puts what begins at at into quotes, as a string of JSON. With bare, it does
// so only where needed.
func quoteFrom(b []byte, at int, bare bool) []byte {
	plain := true
	for _, c := range b[at:] {
		if c <= ' ' || c == '"' || c == '\\' || c == '=' || c >= utf8.RuneSelf || c == 0x7f {
			plain = false
			break
		}
	}
	if plain && bare && len(b) > at {
		return b
	}
	simple := plain || !needsEscape(b[at:])
	if simple {
		b = append(b, 0, 0)
		copy(b[at+1:], b[at:len(b)-2])
		b[at], b[len(b)-1] = '"', '"'
		return b
	}
	value := string(b[at:])
	return appendJSON(b[:at], value)
}

func needsEscape(value []byte) bool {
	for _, c := range value {
		if c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return true
		}
	}
	return false
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
func classic(combined bool, h redact.Names) func(b []byte, l *line) []byte {
	return func(b []byte, l *line) []byte {
		ex := l.Exchange
		q := &ex.Request
		if ex.ClientIP.IsValid() {
			b = ex.ClientIP.AppendTo(b)
		} else {
			b = append(b, '-')
		}
		b = append(b, " - - ["...)
		b = ex.Start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
		b = append(b, `] "`...)
		b = appendQuoted(b, q.Method)
		b = appendQuoted(append(b, ' '), q.Path)
		if q.HasQuery {
			at := len(b)
			b = h.AppendQuery(append(b, '?'), q.Query)
			query := string(b[at:])
			b = appendQuoted(b[:at], []byte(query))
		}
		b = append(append(b, ' '), l.protocol()...)
		b = strconv.AppendInt(append(b, `" `...), int64(ex.Response.Status), 10)
		b = append(b, ' ')
		if l.Sent == 0 {
			b = append(b, '-')
		} else {
			b = strconv.AppendInt(b, l.Sent, 10)
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
