package h2

import (
	"strings"
	"unsafe"

	"portway/proxy/h1"
)

// lowerToken maps each byte of a field name to lower case; 0 if names cannot have
// it (RFC 9110 section 5.6.2).
var lowerToken = func() (t [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = c, c
	}
	for _, c := range []byte("0123456789!#$%&'*+-.^_`|~") {
		t[c] = c
	}
	return t
}()

// appendLower appends name in lower case; ok is false if it is not a name.
func appendLower(b, name []byte) (lower []byte, ok bool) {
	for _, c := range name {
		l := lowerToken[c]
		if l == 0 {
			return nil, false
		}
		b = append(b, l)
	}
	return b, len(name) > 0
}

// isToken tells whether s is a token, such as a method.
func isToken(s string) bool { return h1.ValidName(bytesOf(s)) }

// isLowerName tells whether s can be the name of a field in HTTP/2: a token
// without upper-case letters (RFC 9113 section 8.2.1).
func isLowerName(s string) bool {
	for i := range len(s) {
		if c := s[i]; lowerToken[c] != c || c == 0 {
			return false
		}
	}
	return s != ""
}

// validValue tells whether v can be the value of a field: no control characters
// but the tab, and no white space at its ends.
func validValue(v []byte) bool {
	if n := len(v); n > 0 && (isBlank(v[0]) || isBlank(v[n-1])) {
		return false
	}
	return h1.ValidValue(v)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// cutTarget splits :path; ok is false if the target could not stand in HTTP/1.1
// with that method: it must be an absolute path, or "*" with OPTIONS.
func cutTarget(target, method string) (path, query string, hasQuery, ok bool) {
	if target == "*" {
		return target, "", false, method == "OPTIONS"
	}
	path, query, hasQuery = strings.Cut(target, "?")
	return path, query, hasQuery, h1.ValidPath(bytesOf(path)) && h1.ValidQuery(bytesOf(query))
}

// isAuthority tells whether s is a host, perhaps with a port.
func isAuthority(s string) bool { return h1.ValidAuthority(bytesOf(s)) }

// parseLength parses Content-Length: digits only, and within int64.
func parseLength(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// equalFold compares ASCII without regard to case.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// bytesOf views s as bytes, which nobody may write to.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
