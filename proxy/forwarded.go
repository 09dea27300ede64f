package proxy

import (
	"bytes"
	"net/netip"
	"strings"

	"portway/proxy/exchange"
)

// element is one proxy's word in a Forwarded field (RFC 7239).
type element struct {
	node, host, proto []byte // values without quotes; nil if not given
}

// maxElements bounds the proxies between a client and us.
const maxElements = 64

// parseForwarded reads the elements of a Forwarded field, the client's side
// first. Parameters without meaning for us are skipped; ok is false if the
// syntax is wrong, for then no part of it is known to mean what it seems to.
func parseForwarded(b []byte) (elements []element, ok bool) {
	for {
		var e element
		for {
			b = bytes.TrimLeft(b, " \t")
			name, rest, found := token(b)
			if !found || len(rest) == 0 || rest[0] != '=' {
				return nil, false
			}
			value, rest, found := tokenOrQuoted(rest[1:])
			if !found {
				return nil, false
			}
			if !e.set(name, value) {
				return nil, false
			}
			b = bytes.TrimLeft(rest, " \t")
			if len(b) == 0 || b[0] != ';' {
				break
			}
			b = b[1:]
		}
		if elements = append(elements, e); len(elements) > maxElements {
			return nil, false
		}
		if len(b) == 0 {
			return elements, true
		}
		if b[0] != ',' {
			return nil, false
		}
		b = b[1:]
	}
}

// set notes a parameter. A second value for the same is wrong.
func (e *element) set(name, value []byte) bool {
	var p *[]byte
	switch {
	case exchange.EqualFold(name, "for"):
		p = &e.node
	case exchange.EqualFold(name, "host"):
		p = &e.host
	case exchange.EqualFold(name, "proto"):
		p = &e.proto
	default:
		return true
	}
	if *p != nil {
		return false
	}
	*p = value
	return true
}

func token(b []byte) (t, rest []byte, ok bool) {
	i := 0
	for i < len(b) && isTokenChar(b[i]) {
		i++
	}
	return b[:i:i], b[i:], i > 0
}

// tokenOrQuoted reads a value and takes its quotes off.
func tokenOrQuoted(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return token(b)
	}
	value = []byte{}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return value, b[i+1:], true
		case c == '\\' && i+1 < len(b):
			i++
			value = append(value, b[i])
		default:
			value = append(value, c)
		}
	}
	return nil, nil, false
}

// isTokenChar is tchar of RFC 9110 section 5.6.2.
func isTokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// parseNode reads an address as proxies write it: "192.0.2.1", "192.0.2.1:80",
// "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80".
func parseNode(b []byte) (netip.Addr, bool) {
	if len(b) == 0 || len(b) > 64 {
		return netip.Addr{}, false
	}
	s := string(b)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plainAddr(ap.Addr()), true
	}
	if s[0] == '[' && s[len(s)-1] == ']' {
		s = s[1 : len(s)-1]
	}
	a, err := netip.ParseAddr(s)
	return plainAddr(a), err == nil
}

// appendElement writes one element.
func appendElement(b []byte, node netip.Addr, host []byte, proto string) []byte {
	b = appendNode(append(b, "for="...), node)
	if len(host) > 0 {
		b = appendValue(append(b, ";host="...), host)
	}
	return append(append(b, ";proto="...), proto...)
}

// appendChain writes elements for the addresses in X-Forwarded-For, each
// followed by a comma. host and proto are what the first of them saw.
func appendChain(b, chain, host []byte, proto string) []byte {
	for i := 0; len(chain) > 0; i++ {
		one := chain
		if j := bytes.IndexByte(chain, ','); j >= 0 {
			one, chain = chain[:j], chain[j+1:]
		} else {
			chain = nil
		}
		addr, _ := parseNode(bytes.TrimSpace(one))
		if i == 0 {
			b = appendElement(b, addr, host, proto)
		} else {
			b = appendNode(append(b, "for="...), addr)
		}
		b = append(b, ", "...)
	}
	return b
}

func appendNode(b []byte, node netip.Addr) []byte {
	if !node.Is6() {
		return appendAddr(b, node)
	}
	return append(node.AppendTo(append(b, `"[`...)), `]"`...)
}

// appendValue writes a token as it is and quotes anything else.
func appendValue(b, value []byte) []byte {
	if _, rest, ok := token(value); ok && len(rest) == 0 {
		return append(b, value...)
	}
	b = append(b, '"')
	for _, c := range value {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}
