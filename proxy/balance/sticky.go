package balance

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// Sticky is how visitors stay with a replica.
type Sticky struct {
	On     bool
	Cookie string // empty: by route
	MaxAge time.Duration
	Secret string
}

// Cookies are the cookies of one route by which visitors stay with a replica.
type Cookies struct {
	name, key, attributes string
}

// Cookies makes those of the route with the given ID; nil if visitors do not stay.
func (s *Sticky) Cookies(route string) *Cookies {
	if !s.On {
		return nil
	}
	c := &Cookies{name: s.Cookie, key: s.Secret + "\x00" + route, attributes: "; Path=/; HttpOnly; SameSite=Lax"}
	if c.name == "" {
		// Of another name for each route, since those of one host see each other's.
		sum := sha256.Sum256([]byte(route))
		c.name = "portway-" + hex.EncodeToString(sum[:4])
	}
	if s.MaxAge > 0 {
		c.attributes += "; Max-Age=" + strconv.FormatInt(int64(s.MaxAge/time.Second), 10)
	}
	return c
}

// Value is the cookie's value for the replica with the given ID: the same in every
// process, and of no use to learn the ID.
func (c *Cookies) Value(id string) string {
	mac := hmac.New(sha256.New, []byte(c.key))
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil)[:12])
}

// Line is the value of a Set-Cookie field.
func (c *Cookies) Line(value string, secure bool) string {
	line := c.name + "=" + value + c.attributes
	if secure {
		line += "; Secure"
	}
	return line
}

// Given is the cookie's value in a request; nil if there is none.
func (c *Cookies) Given(ex *exchange.Exchange) []byte {
	value, _ := cookie(&ex.Request.Fields, c.name)
	return value
}

// Take gives the cookie's value and removes it from the request: the origin has
// nothing to do with it. The value is nil if there is none.
func (c *Cookies) Take(ex *exchange.Exchange) []byte {
	f := &ex.Request.Fields
	value, found := cookie(f, c.name)
	if !found {
		return nil
	}
	from := len(ex.Memory)
	for i := range f.Len() {
		if l := f.At(i); exchange.EqualFold(l.Name, "cookie") {
			ex.Memory = appendWithout(ex.Memory, from, l.Value, c.name)
		}
	}
	if rest := ex.Memory[from:len(ex.Memory):len(ex.Memory)]; len(rest) > 0 {
		f.Set("cookie", rest)
	} else {
		f.Del("cookie")
	}
	return value
}

// cookie gives the first cookie of that name in a request.
func cookie(f *exchange.Fields, name string) (value []byte, found bool) {
	for i := range f.Len() {
		l := f.At(i)
		if !exchange.EqualFold(l.Name, "cookie") {
			continue
		}
		for rest := l.Value; len(rest) > 0; {
			var pair []byte
			pair, rest = nextPair(rest)
			if v, ok := named(pair, name); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// appendWithout appends the pairs of a Cookie field, but those of that name, to the
// list that begins at from.
func appendWithout(b []byte, from int, value []byte, name string) []byte {
	for len(value) > 0 {
		var pair []byte
		pair, value = nextPair(value)
		if _, ok := named(pair, name); ok || len(pair) == 0 {
			continue
		}
		if len(b) > from {
			b = append(b, "; "...)
		}
		b = append(b, pair...)
	}
	return b
}

// nextPair cuts the first pair off (RFC 6265 section 4.2.1).
func nextPair(list []byte) (pair, rest []byte) {
	pair = list
	if i := bytes.IndexByte(list, ';'); i >= 0 {
		pair, rest = list[:i], list[i+1:]
	}
	return bytes.Trim(pair, " \t"), rest
}

// named gives the value of a pair, if it has that name.
func named(pair []byte, name string) ([]byte, bool) {
	if len(pair) <= len(name) || pair[len(name)] != '=' || string(pair[:len(name)]) != name {
		return nil, false
	}
	v := pair[len(name)+1:]
	if n := len(v); n >= 2 && v[0] == '"' && v[n-1] == '"' {
		v = v[1 : n-1]
	}
	return v, true
}

// validCookieName says what is wrong with a name that is no token (RFC 9110
// section 5.6.2).
func validCookieName(name string) error {
	const others = "!#$%&'*+-.^_`|~"
	for _, c := range []byte(name) {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && strings.IndexByte(others, c) < 0 {
			name = ""
		}
	}
	if name == "" {
		return &label.Error{Why: "is no name of a cookie", Fix: "write letters, digits, - and _ only"}
	}
	return nil
}
