package middleware

import (
	"bytes"
	"strings"

	"portway/label"
	"portway/proxy/exchange"
)

// parsePrefix reads a path that is taken off or put in front, without a slash at its
// end, decoded.
func parsePrefix(value string) (string, error) {
	wrong := func(why, fix string) (string, error) {
		return "", &label.Error{Why: label.Quote(value) + " " + why, Fix: fix}
	}
	if !strings.HasPrefix(value, "/") {
		return wrong("does not begin with /", "write /"+value)
	}
	if i := strings.IndexAny(value, "?#"); i >= 0 {
		return wrong("has more than a path", "write "+value[:i])
	}
	prefix := strings.TrimRight(value, "/")
	if prefix == "" {
		return wrong("is every path", "write a path such as /api, or remove it")
	}
	var b []byte
	for i := 0; i < len(prefix); {
		c, n := unescape([]byte(prefix[i:]))
		switch {
		case n == 1 && prefix[i] == '%':
			return wrong("has a % without two hexadecimal digits", "write %25 for a percent sign")
		case c < ' ' || c == 0x7f || c == ';' || c == '\\' || c == '/' && n > 1:
			return wrong(`has a character that servers read differently: ;, \, an encoded / or a control character`, "write a path without it")
		}
		b = append(b, c)
		i += n
	}
	for segment := range strings.SplitSeq(string(b[1:]), "/") {
		if segment == "" || segment == "." || segment == ".." {
			return wrong("has an empty segment, . or ..", "write the path as it is after following them")
		}
	}
	return string(b), nil
}

// escapePath writes a decoded path as requests have it.
func escapePath(path string) []byte {
	var b []byte
	for i := range len(path) {
		const digits = "0123456789ABCDEF"
		if c := path[i]; isPathChar(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// isPathChar tells whether c stands for itself in a path: the slash and pchar of
// RFC 3986 section 3.3.
func isPathChar(c byte) bool {
	return strings.IndexByte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/", c) >= 0
}

// cutPrefix takes prefix, which is decoded, off path, which is as sent; what comes
// next is a slash or the end. An encoded slash is none.
func cutPrefix(path []byte, prefix string) (rest []byte, ok bool) {
	for i := range len(prefix) {
		if len(path) == 0 {
			return nil, false
		}
		c, n := unescape(path)
		if c != prefix[i] || c == '/' && n > 1 {
			return nil, false
		}
		path = path[n:]
	}
	return path, len(path) == 0 || path[0] == '/'
}

// unescape reads the first character of s, which is not empty, and how long it is.
func unescape(s []byte) (c byte, n int) {
	if s[0] == '%' && len(s) >= 3 {
		high, ok1 := hexDigit(s[1])
		low, ok2 := hexDigit(s[2])
		if ok1 && ok2 {
			return high<<4 | low, 3
		}
	}
	return s[0], 1
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

var root = []byte("/")

// oneSlash is path with exactly one slash at its beginning. Two would make it the name
// of a host for those who take it for a reference, and for browsers so does a
// backslash.
func oneSlash(ex *exchange.Exchange, path []byte) []byte {
	if len(path) < 2 || path[1] != '/' && path[1] != '\\' {
		return path
	}
	from := len(ex.Memory)
	ex.Memory = append(append(ex.Memory, '/'), bytes.TrimLeft(path, `/\`)...)
	return taken(ex, from)
}

// climbs tells whether some server may find a ".." in path, so that it leads out of
// what was put in front of it. Escapes may be twofold, "\" and an encoded slash may
// be read as slashes, and what follows ";" may be dropped.
func climbs(path []byte) bool {
	if bytes.IndexByte(path, '.') < 0 && bytes.IndexByte(path, '%') < 0 {
		return false
	}
	dots, other := 0, false // of the current segment
	dropping := false
	for i := 0; i <= len(path); {
		c, n := byte('/'), 1
		if i < len(path) {
			c, n = decodeTwice(path[i:])
		}
		i += n
		switch {
		case c == '/' || c == '\\':
			if dots == 2 && !other {
				return true
			}
			dots, other, dropping = 0, false, false
		case dropping:
		case c == ';':
			dropping = true
		case c == '.':
			dots++
		default:
			other = true
		}
	}
	return false
}

// decodeTwice is unescape for a character that may be escaped once more (%252e).
func decodeTwice(s []byte) (c byte, n int) {
	c, n = unescape(s)
	if c == '%' && n == 3 && len(s) >= 5 {
		high, ok1 := hexDigit(s[3])
		low, ok2 := hexDigit(s[4])
		if ok1 && ok2 {
			return high<<4 | low, 5
		}
	}
	return c, n
}
