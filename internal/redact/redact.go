// Package redact knows by names whose values are secrets: of header fields, of parameters
// in queries, of cookies. It is for logs and for what people are shown; rather one name
// too many than a password on a screen.
package redact

import (
	"bytes"
	"slices"
	"strings"
)

// Value stands in logs for a value that is a secret.
const Value = "REDACTED"

// Hidden stands for one where people are shown what somebody wrote.
const Hidden = "(hidden)"

// words are what such names have in them.
var words = []string{
	"token", "secret", "password", "passwd", "pwd", "apikey", "api-key", "api_key", "auth", "credential", "session", "cookie",
	"signature", "jwt", "otp",
}

// wholes are such names as a whole.
var wholes = []string{"key", "sig", "code", "state", "sid", "pass", "pin", "access_key", "private_key", "x-amz-security-token", "x-goog-signature"}

// Names are more such names, as a whole and in lower case. Its zero value has none.
type Names []string

// Secret tells by a name whether its value is a secret. It allocates nothing for names of
// a usual length.
func (n Names) Secret(name []byte) bool {
	var buffer [64]byte
	low := append(buffer[:0], name...)
	for i, c := range low {
		if 'A' <= c && c <= 'Z' {
			low[i] = c + 'a' - 'A'
		}
	}
	for _, word := range words {
		if bytes.Contains(low, []byte(word)) {
			return true
		}
	}
	is := func(name string) bool { return string(low) == name }
	return slices.ContainsFunc(wholes, is) || slices.ContainsFunc(n, is)
}

// AppendQuery appends a query, without the values of secrets. Both "&" and ";" begin a
// parameter, since servers differ in that; only "&" ends the value of a secret, for the
// same reason. A name that is escaped in part hides its value, whatever it is.
func (n Names) AppendQuery(b, query []byte) []byte { return n.appendQuery(b, query, Value) }

func (n Names) appendQuery(b, query []byte, instead string) []byte {
	for i := 0; i < len(query); {
		end := i + until(query[i:], "&;")
		name, _, ok := bytes.Cut(query[i:end], []byte("="))
		if ok && (bytes.IndexByte(name, '%') >= 0 || n.Secret(name)) {
			b = append(append(append(b, name...), '='), instead...)
			end = i + until(query[i:], "&")
		} else {
			b = append(b, query[i:end]...)
		}
		if end < len(query) {
			b = append(b, query[end])
		}
		i = end + 1
	}
	return b
}

// until is how many bytes come before the first of chars, or all of them.
func until(b []byte, chars string) int {
	if i := bytes.IndexAny(b, chars); i >= 0 {
		return i
	}
	return len(b)
}

// AppendURL appends an address, without the values of secrets in its query, and without
// user and password.
func (n Names) AppendURL(b, url []byte) []byte { return n.appendURL(b, url, Value) }

func (n Names) appendURL(b, url []byte, instead string) []byte {
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
		b = n.appendQuery(append(b, '?'), query, instead)
	}
	return b
}

// URL is an address that somebody wrote, as it is shown to people.
func URL(url string) string {
	return string(Names(nil).appendURL(nil, []byte(url), Hidden))
}

// Lines is a text as it is shown to people, each line of which is a name, a separator and
// a value, perhaps with one of "+-!" in front.
func Lines(text, separator string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		end := line[len(strings.TrimRight(line, "\r\n")):]
		b.WriteString(Line(strings.TrimSuffix(line, end), separator))
		b.WriteString(end)
	}
	return b.String()
}

// Line is a line of Lines. From the first secret on it is hidden, behind a comma too, where
// somebody may have begun another one. So is all of a line that may have a secret in it and
// no proper name in front.
func Line(line, separator string) string {
	begin := 0
	for part := range strings.SplitAfterSeq(line, ",") {
		name, value, ok := strings.Cut(part, separator)
		bare := strings.Trim(name, " \t+-!,")
		switch {
		case !Names(nil).Secret([]byte(bare)):
		case strings.ContainsAny(bare, " \t=:;"):
			return line[:begin] + Hidden
		case ok && strings.TrimSpace(value) != "":
			value = line[begin+len(name)+len(separator):]
			space := value[:len(value)-len(strings.TrimLeft(value, " \t"))]
			return line[:begin] + name + separator + space + Hidden
		}
		begin += len(part)
	}
	return line
}
