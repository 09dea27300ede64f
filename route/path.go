package route

import (
	"bytes"
	"strings"

	"portway/label"
)

// CompilePath normalises a path prefix as a user writes it: "/" or "/api",
// without a trailing slash, in the percent-encoding that clients send. The
// error is a *label.Error that tells what to type.
func CompilePath(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", pathError(path, "does not begin with /", "write /"+path)
	}
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return "", pathError(path, "has more than a path", "write "+path[:i])
	}
	if strings.Contains(path, "*") {
		return "", pathError(path, "has a *", "write the path alone; what is below it is always included")
	}
	path = strings.TrimRight(path, "/")
	if path == "" {
		return "/", nil
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			decoded, ok := unhex(path, i)
			if !ok {
				return "", pathError(path, "has a % without two hexadecimal digits", "write %25 for a percent sign")
			}
			c = decoded
			i += 2
		}
		switch {
		case c < ' ' || c == 0x7f:
			return "", pathError(path, "has a control character", "remove it")
		case c == ';' || c == '\\' || c == '/' && path[i] != '/':
			return "", pathError(path, "has a character that servers read differently (;, \\ or an encoded /)", "write a path without it")
		case literal(c):
			b.WriteByte(c)
		default:
			const digits = "0123456789ABCDEF"
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	clean := b.String()
	for segment := range strings.SplitSeq(clean[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "", pathError(path, "has an empty segment, . or ..", "write the path as it is after following them")
		}
	}
	return clean, nil
}

func pathError(path, why, fix string) error {
	return &label.Error{Why: label.Quote(path) + " " + why, Fix: fix}
}

// literal tells whether c stands for itself in a path (RFC 3986 section 3.3,
// pchar and the slash).
func literal(c byte) bool {
	return unreserved(c) || strings.IndexByte("/:@!$&'()*+,;=", c) >= 0
}

// unreserved tells whether c means the same with and without percent-encoding
// (RFC 3986 section 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// unhex decodes the escape at s[i].
func unhex[T string | []byte](s T, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	high, ok1 := hexDigit(s[i+1])
	low, ok2 := hexDigit(s[i+2])
	return high<<4 | low, ok1 && ok2
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

// hasPrefix tells whether path is prefix or below it.
func hasPrefix[T string | []byte](path []byte, prefix T) bool {
	n := len(prefix)
	if n == 1 {
		return true // "/" holds everything, also "*" and the empty path
	}
	return len(path) >= n && string(path[:n]) == string(prefix) && (len(path) == n || path[n] == '/')
}

// plain tells whether all servers read path the same: it has no escapes, no dot
// or empty segments, no backslashes and no parameters.
func plain(path []byte) bool {
	before := byte(0)
	for _, c := range path {
		switch c {
		case '%', ';', '\\':
			return false
		case '.', '/':
			if before == '/' {
				return false
			}
		}
		before = c
	}
	return true
}

// reading is one of the ways in which servers understand a path.
type reading struct {
	decodeAll bool // "%2F" is "/", and so on, rather than only the unreserved characters of RFC 3986
	dots      bool // follow "." and ".."
	lax       bool // "//" and "\" are "/", ";x" is dropped
}

// readings covers servers from the literal to the obliging; the middle one is
// the normalisation of RFC 3986 section 6.2.2.
var readings = [...]reading{
	{},
	{dots: true},
	{dots: true, decodeAll: true, lax: true},
}

// appendTo appends path, as the reading has it, to an empty dst. The result is
// at most as long as path, or one byte.
func (r reading) appendTo(dst, path []byte) []byte {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if decoded, ok := unhex(path, i); ok {
				if !r.decodeAll && !unreserved(decoded) {
					dst = append(dst, '%', upper(path[i+1]), upper(path[i+2]))
					i += 2
					continue
				}
				c = decoded
				i += 2
			}
		}
		if r.lax && c == '\\' {
			c = '/'
		}
		if r.lax && c == ';' {
			for i+1 < len(path) && path[i+1] != '/' {
				i++
			}
			continue
		}
		if c == '/' {
			dst = r.endSegment(dst)
		}
		dst = append(dst, c)
	}
	if r.dots {
		dst = r.endSegment(dst)
	}
	return dst
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'f' {
		return c - 'a' + 'A'
	}
	return c
}

// endSegment drops or follows the last segment of dst, where the reading has it
// so; a slash or the end comes next.
func (r reading) endSegment(dst []byte) []byte {
	start := bytes.LastIndexByte(dst, '/')
	if start < 0 {
		return dst
	}
	switch last := string(dst[start+1:]); {
	case r.dots && last == ".", r.lax && last == "":
		return dst[:start]
	case r.dots && last == "..":
		return dst[:max(0, bytes.LastIndexByte(dst[:start], '/'))]
	}
	return dst
}
