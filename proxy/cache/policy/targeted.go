package policy

import (
	"bytes"
	"strings"
	"time"

	"portway/proxy/exchange"
)

// parseTargeted reads CDN-Cache-Control, a Dictionary (RFC 9213 section 2.1). ok is
// false if it is not there, empty or not well-formed: it is then to be ignored as a
// whole. Of a member that is there twice the last one counts, as for all
// Dictionaries; one of the wrong type is ignored.
func parseTargeted(f *exchange.Fields) (c ResponseControl, ok bool) {
	var lines [][]byte
	for name, value := range f.All() {
		if exchange.EqualFold(name, "cdn-cache-control") {
			lines = append(lines, value)
		}
	}
	if lines == nil {
		return c, false
	}
	members, ok := parseDictionary(bytes.Join(lines, []byte(", ")))
	if !ok || len(members) == 0 {
		return c, false
	}
	c = newResponseControl()
	c.Targeted = true
	for name, v := range members {
		switch {
		case v.kind == sfInteger:
			d := time.Duration(max(min(v.number, maxDelta), 0)) * time.Second
			switch name {
			case "max-age":
				c.MaxAge = d
			case "s-maxage":
				c.SMaxAge = d
			case "stale-while-revalidate":
				c.StaleWhileRevalidate = d
			case "stale-if-error":
				c.StaleIfError = d
			}
		case v.kind == sfString && (name == "no-cache" || name == "private"):
			c.add([]byte(name), []byte(v.text), quoted)
		case v.kind == sfTrue:
			switch name {
			case "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error":
			default:
				c.add([]byte(name), nil, none)
			}
		}
	}
	return c, true
}

// sfKind is the type of a structured field's item, as far as it matters here.
type sfKind uint8

const (
	sfOther   sfKind = iota // a type that no directive has
	sfTrue                  // Boolean true
	sfInteger               // Integer
	sfString                // String
)

type sfValue struct {
	kind   sfKind
	number int64
	text   string
}

// parseDictionary reads a Dictionary (RFC 9651 section 4.2.2), strictly. Parameters
// are checked and dropped.
func parseDictionary(b []byte) (map[string]sfValue, bool) {
	p := sfParser{bytes.Trim(b, " ")}
	members := make(map[string]sfValue)
	for len(p.rest) > 0 {
		name, ok := p.key()
		if !ok {
			return nil, false
		}
		v := sfValue{kind: sfTrue}
		if p.take('=') {
			if v, ok = p.itemOrList(); !ok {
				return nil, false
			}
		}
		if !p.parameters() {
			return nil, false
		}
		members[name] = v
		p.space(" \t")
		if len(p.rest) == 0 {
			return members, true
		}
		if !p.take(',') {
			return nil, false
		}
		if p.space(" \t"); len(p.rest) == 0 { // a comma at the end
			return nil, false
		}
	}
	return members, true
}

// sfParser reads structured fields from what is left.
type sfParser struct{ rest []byte }

func (p *sfParser) take(c byte) bool {
	if len(p.rest) > 0 && p.rest[0] == c {
		p.rest = p.rest[1:]
		return true
	}
	return false
}

func (p *sfParser) space(chars string) { p.rest = bytes.TrimLeft(p.rest, chars) }

// run takes bytes as long as is holds.
func (p *sfParser) run(is func(c byte) bool) []byte {
	n := 0
	for n < len(p.rest) && is(p.rest[n]) {
		n++
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *sfParser) key() (string, bool) {
	if len(p.rest) == 0 || p.rest[0] != '*' && (p.rest[0] < 'a' || p.rest[0] > 'z') {
		return "", false
	}
	return string(p.run(func(c byte) bool {
		return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("_-.*", c) >= 0
	})), true
}

func (p *sfParser) parameters() bool {
	for p.take(';') {
		p.space(" ")
		if _, ok := p.key(); !ok {
			return false
		}
		if p.take('=') {
			if _, ok := p.item(); !ok {
				return false
			}
		}
	}
	return true
}

// itemOrList reads the value of a member, without its parameters.
func (p *sfParser) itemOrList() (sfValue, bool) {
	if !p.take('(') {
		return p.item()
	}
	for {
		p.space(" ")
		if p.take(')') {
			return sfValue{}, true
		}
		if _, ok := p.item(); !ok || !p.parameters() {
			return sfValue{}, false
		}
		if len(p.rest) == 0 || p.rest[0] != ' ' && p.rest[0] != ')' {
			return sfValue{}, false
		}
	}
}

// item reads a bare item (RFC 9651 section 4.2.3.1).
func (p *sfParser) item() (sfValue, bool) {
	if len(p.rest) == 0 {
		return sfValue{}, false
	}
	switch c := p.rest[0]; {
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case c == '"':
		p.rest = p.rest[1:]
		return p.quoted()
	case c == '*' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		p.run(func(c byte) bool { return tokenChar(c) || c == ':' || c == '/' })
		return sfValue{}, true
	case c == ':':
		p.rest = p.rest[1:]
		p.run(func(c byte) bool {
			return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("+/=", c) >= 0
		})
		return sfValue{}, p.take(':')
	case c == '?' && len(p.rest) > 1 && (p.rest[1] == '0' || p.rest[1] == '1'):
		v := sfValue{kind: sfOther}
		if p.rest[1] == '1' {
			v.kind = sfTrue
		}
		p.rest = p.rest[2:]
		return v, true
	case c == '@': // a Date
		p.rest = p.rest[1:]
		v, ok := p.number()
		return sfValue{}, ok && v.kind == sfInteger
	}
	return sfValue{}, false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number reads an Integer or a Decimal.
func (p *sfParser) number() (sfValue, bool) {
	negative := p.take('-')
	digits := p.run(isDigit)
	if len(digits) == 0 || len(digits) > 15 {
		return sfValue{}, false
	}
	if p.take('.') {
		fraction := p.run(isDigit)
		return sfValue{}, len(digits) <= 12 && 1 <= len(fraction) && len(fraction) <= 3
	}
	v := sfValue{kind: sfInteger}
	for _, c := range digits {
		v.number = 10*v.number + int64(c-'0')
	}
	if negative {
		v.number = -v.number
	}
	return v, true
}

// quoted reads a String behind its first quotation mark.
func (p *sfParser) quoted() (sfValue, bool) {
	var text strings.Builder
	for len(p.rest) > 0 {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case c == '"':
			return sfValue{kind: sfString, text: text.String()}, true
		case c == '\\':
			if len(p.rest) == 0 || p.rest[0] != '"' && p.rest[0] != '\\' {
				return sfValue{}, false
			}
			c = p.rest[0]
			p.rest = p.rest[1:]
		case c < ' ' || c >= 0x7f:
			return sfValue{}, false
		}
		text.WriteByte(c)
	}
	return sfValue{}, false
}
