package route

import "bytes"

// reading is one of the ways in which servers understand a path.
type reading struct {
	dots bool // follow "." and ".." (RFC 3986 section 5.2.4)
	lax  bool // "%2F", "//" and "\" are slashes, ";x" is dropped, everything is decoded
	text bool // decode all but "%2F" and "%25", for patterns
}

// From the literal to the obliging; normally is what RFC 3986 section 6.2.2 asks for.
var (
	literally  = reading{}
	normally   = reading{dots: true}
	obligingly = reading{dots: true, lax: true}
)

// appendTo appends path, as the reading has it, to an empty dst. Unless the
// reading is lax, each character has one form, escaped or not.
func (r reading) appendTo(dst, path []byte) []byte {
	dropping := false
	for i := 0; i < len(path); i++ {
		c, escaped := path[i], false
		if c == '%' {
			if c, escaped = unescape(path[i:]); escaped {
				i += 2
			}
		}
		if r.lax {
			if c == '\\' {
				c = '/'
			}
			if dropping = c == ';' || dropping && c != '/'; dropping {
				continue
			}
		}
		switch {
		case c == '/' && (r.lax || !escaped):
			dst = append(r.endSegment(dst), '/')
		case r.text && !r.lax && c == '%':
			dst = append(dst, "%25"...)
		case r.lax, r.text && c != '/', c == '%' && !escaped, literal[c] && (!escaped || c != '/' && c != ';'):
			dst = append(dst, c)
		default:
			const digits = "0123456789ABCDEF"
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return r.endSegment(dst)
}

// appendText is appendTo for what patterns are held against: decoded, but for
// what would look like a separator; the slash at its end stays.
func (r reading) appendText(dst, path []byte) []byte {
	r.text = true
	dst = r.appendTo(dst, path)
	if r.lax && (len(dst) == 0 || endsWithSlash(path)) {
		dst = append(dst, '/')
	}
	return dst
}

// endsWithSlash tells whether an obliging server sees a slash at the end.
func endsWithSlash(path []byte) bool {
	n := len(path)
	if n == 0 {
		return false
	}
	last := path[n-1]
	if n >= 3 && path[n-3] == '%' {
		if c, ok := unescape(path[n-3:]); ok {
			last = c
		}
	}
	return last == '/' || last == '\\'
}

// endSegment drops or follows the last segment of dst, where the reading has it
// so; a slash or the end comes next.
func (r reading) endSegment(dst []byte) []byte {
	start := bytes.LastIndexByte(dst, '/')
	if start < 0 || !r.dots {
		return dst
	}
	switch string(dst[start+1:]) {
	case "":
		if r.lax {
			return dst[:start]
		}
	case ".":
		return dst[:start]
	case "..":
		return dst[:max(0, bytes.LastIndexByte(dst[:start], '/'))]
	}
	return dst
}

// unescape decodes the escape that s, which is not empty, begins with. If it is
// none, it returns the first byte.
func unescape(s []byte) (c byte, ok bool) {
	if len(s) < 3 {
		return s[0], false
	}
	high, ok1 := hexDigit(s[1])
	low, ok2 := hexDigit(s[2])
	if !ok1 || !ok2 {
		return s[0], false
	}
	return high<<4 | low, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
