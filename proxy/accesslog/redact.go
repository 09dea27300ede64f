package accesslog

import (
	"bytes"
	"slices"
	"strings"
)

const redacted = "REDACTED"

// secretWords are what names of query parameters and header fields have in them whose
// values are secrets. Rather one name too many: what is lost is a value in a log.
var secretWords = []string{
	"token", "secret", "password", "passwd", "pwd", "apikey", "api-key", "api_key", "auth", "credential", "session", "cookie",
	"signature", "jwt", "otp",
}

// secretNames are such names as a whole.
var secretNames = []string{"key", "sig", "code", "state", "sid", "pass", "pin", "access_key", "private_key", "x-amz-security-token", "x-goog-signature"}

// hidden knows whose values are not written.
type hidden struct {
	more []string // in lower case
}

func newHidden(more []string) *hidden {
	h := &hidden{}
	for _, name := range more {
		h.more = append(h.more, lower(name))
	}
	return h
}

// secret tells by a name whether its value is a secret.
func (h *hidden) secret(name []byte) bool {
	var buffer [64]byte
	low := append(buffer[:0], name...)
	for i, c := range low {
		if 'A' <= c && c <= 'Z' {
			low[i] = c + 'a' - 'A'
		}
	}
	for _, word := range secretWords {
		if bytes.Contains(low, []byte(word)) {
			return true
		}
	}
	is := func(name string) bool { return string(low) == name }
	return slices.ContainsFunc(secretNames, is) || slices.ContainsFunc(h.more, is)
}

// appendQuery appends a query, without the values of secrets. A name that is escaped in
// part hides its value, whatever it is.
func (h *hidden) appendQuery(b, query []byte) []byte {
	for i, first := 0, true; i <= len(query); first = false {
		end := bytes.IndexByte(query[i:], '&')
		if end < 0 {
			end = len(query) - i
		}
		pair := query[i : i+end]
		i += end + 1
		if !first {
			b = append(b, '&')
		}
		name, _, ok := bytes.Cut(pair, []byte("="))
		if ok && (bytes.IndexByte(name, '%') >= 0 || h.secret(name)) {
			b = append(append(append(b, name...), '='), redacted...)
			continue
		}
		b = append(b, pair...)
	}
	return b
}

// appendURL appends an address, without the values of secrets in its query, and
// without user and password.
func (h *hidden) appendURL(b, url []byte) ([]byte, kind) {
	if len(url) == 0 {
		return b, none
	}
	base, query, ok := bytes.Cut(url, []byte("?"))
	scheme, rest, absolute := bytes.Cut(base, []byte("://"))
	if absolute {
		host, path, _ := bytes.Cut(rest, []byte("/"))
		if at := bytes.LastIndexByte(host, '@'); at >= 0 {
			b = append(append(append(b, scheme...), "://"...), host[at+1:]...)
			b = append(append(b, '/'), path...)
			base = nil
		}
	}
	b = append(b, base...)
	if ok {
		b = h.appendQuery(append(b, '?'), query)
	}
	return b, text
}

func lower(s string) string { return strings.ToLower(s) }
