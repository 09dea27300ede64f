package h1

import "encoding/binary"

// Classes of characters, one bit each.
const (
	isToken  = 1 << iota // tchar: names and methods (RFC 9110 section 5.6.2)
	isTarget             // what a request target may hold
	isHost               // letters of a host name or IPv4 address
	isHex
	isDigit
)

// class tells for each byte what it may be part of.
var class = func() (t [256]uint8) {
	for c := range 256 {
		b := byte(c)
		digit := '0' <= b && b <= '9'
		letter := 'a' <= b|0x20 && b|0x20 <= 'z' && b < 0x80
		if digit {
			t[c] |= isDigit
		}
		if digit || 'a' <= b|0x20 && b|0x20 <= 'f' && b < 0x80 {
			t[c] |= isHex
		}
		if digit || letter || b == '-' || b == '.' || b == '_' {
			t[c] |= isHost
		}
		if digit || letter {
			t[c] |= isToken
		}
		// RFC 3986 allows less, but sloppy clients send |, {, ^ and the like, and
		// they have no second meaning. A fragment or non-ASCII never belongs here.
		if 0x21 <= b && b <= 0x7e && b != '#' {
			t[c] |= isTarget
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= isToken
	}
	return t
}()

// all tells whether every byte of b is of that class.
func all(b []byte, of uint8) bool {
	for _, c := range b {
		if class[c]&of == 0 {
			return false
		}
	}
	return true
}

// ValidName tells whether b can be the name of a field, or a method.
func ValidName(b []byte) bool {
	n := len(b)
	if n < 8 {
		return n > 0 && all(b, isToken)
	}
	// Eight bytes at once; the last eight may overlap those before.
	for i := 0; i < n-8; i += 8 {
		if !lettersAndDashes(binary.LittleEndian.Uint64(b[i:])) && !all(b[i:i+8], isToken) {
			return false
		}
	}
	return lettersAndDashes(binary.LittleEndian.Uint64(b[n-8:])) || all(b[n-8:], isToken)
}

// lettersAndDashes tells whether eight bytes are what nearly all names consist of.
func lettersAndDashes(x uint64) bool {
	const (
		low  = 0x0101010101010101
		high = 0x80 * low
	)
	// In the sums below, the high bit of each byte tells, and nothing is carried on.
	folded := (x | 0x20*low) &^ high
	letter := (folded + (0x80-'a')*low) &^ (folded + (0x7f-'z')*low)
	other := (x&^high ^ '-'*low) + 0x7f*low
	return (letter|^other)&^x&high == high
}

// ValidValue tells whether b can be (part of) the value of a field: no control
// characters but the tab.
func ValidValue(b []byte) bool {
	const (
		low   = 0x0101010101010101
		high  = 0x80 * low
		space = 0x20 * low
		del   = 0x7f * low
	)
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		// Eight bytes at once: is one below 0x20, or one 0x7f? Tabs, and a rare false
		// alarm by a borrow, are sorted out byte by byte.
		y := x ^ del
		if ((x-space)&^x|(y-low)&^y)&high != 0 && !plain(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return plain(b)
}

func plain(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// trim removes optional white space (OWS) on both sides.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// nextToken cuts the next element off a comma-separated list. Empty elements
// are skipped; ok is false at the end of the list.
func nextToken(list []byte) (elem, rest []byte, ok bool) {
	for len(list) > 0 {
		i := 0
		for i < len(list) && list[i] != ',' {
			i++
		}
		elem = trim(list[:i])
		list = list[min(i+1, len(list)):]
		if len(elem) > 0 {
			return elem, list, true
		}
	}
	return nil, nil, false
}
