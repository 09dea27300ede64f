package route

import "bytes"

// source is where in a request named values are.
type source uint8

const (
	inHeader source = iota
	inCookies
	inQuery
)

// anyFits tells whether any value that the request has by the line's name fits. The
// ways are called by name, since what a function value is given has to be on the heap.
func (c *line) anyFits(l *look) bool {
	switch c.source {
	case inCookies:
		return anyCookie(l, c)
	case inQuery:
		return anyParameter(l, c)
	default:
		return anyField(l, c)
	}
}

// anyField tells whether a line of the header fits. What proxies combine into
// one line is one value.
func anyField(l *look, c *line) bool {
	if l.Fields == nil {
		return false
	}
	for i := 0; ; {
		var value []byte
		if value, i = l.Fields.Find(c.name, i); i < 0 {
			return false
		}
		if c.fitsValue(value) {
			return true
		}
	}
}

// anyCookie tells whether a cookie fits (RFC 6265 section 4.2.1). Names and
// values count as they are, but for double quotes around a value, which are no part
// of it. Without "=", all is name, as many servers see it.
func anyCookie(l *look, c *line) bool {
	if l.Fields == nil {
		return false
	}
	for i := 0; ; {
		var rest []byte
		if rest, i = l.Fields.Find("cookie", i); i < 0 {
			return false
		}
		for len(rest) > 0 {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, []byte(";"))
			name, value, _ := bytes.Cut(pair, []byte("="))
			if string(bytes.Trim(name, " \t")) == c.name && c.fitsValue(unquoted(bytes.Trim(value, " \t"))) {
				return true
			}
		}
	}
}

func unquoted(b []byte) []byte {
	if n := len(b); n >= 2 && b[0] == '"' && b[n-1] == '"' {
		return b[1 : n-1]
	}
	return b
}

// anyParameter tells whether a parameter of the query fits, as HTML forms encode
// them (application/x-www-form-urlencoded): separated by "&", decoded on both sides
// of the first "=". A percent sign without two hexadecimal digits stands for itself.
func anyParameter(l *look, c *line) bool {
	rest := l.Query
	for len(rest) > 0 {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		if !decodesTo(name, c.name) || len(pair) == 0 {
			continue
		}
		switch {
		case c.pattern == nil && c.hasValue && !decodesTo(value, c.value):
			continue
		case c.pattern == nil:
			return true
		}
		if bytes.IndexByte(value, '%') >= 0 || bytes.IndexByte(value, '+') >= 0 {
			m := l.memory()
			m.value = appendDecoded(m.value[:0], value)
			value = m.value
		}
		if c.pattern.Match(value) {
			return true
		}
	}
	return false
}

// decodesTo tells whether b is s, once it is decoded.
func decodesTo(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	n := 0
	for i := 0; i < len(b); n++ {
		c, size := decodeOne(b[i:])
		if n == len(s) || c != s[n] {
			return false
		}
		i += size
	}
	return n == len(s)
}

func appendDecoded(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		c, size := decodeOne(b[i:])
		dst = append(dst, c)
		i += size
	}
	return dst
}

// decodeOne decodes the first character of b, which is not empty.
func decodeOne(b []byte) (c byte, size int) {
	switch b[0] {
	case '+':
		return ' ', 1
	case '%':
		if c, ok := unescape(b); ok {
			return c, 3
		}
	}
	return b[0], 1
}
