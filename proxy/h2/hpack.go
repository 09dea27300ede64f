package h2

import (
	"strconv"
	"strings"

	"portway/proxy/exchange"
)

// The encoder's table. Peers keep 4096 bytes by default; fewer suffice for what
// repeats, and what we remember is always a part of what they remember.
const (
	peerTable    = 4096 // SETTINGS_HEADER_TABLE_SIZE unless the peer says otherwise
	encoderTable = 2048 // bytes of entries that we refer to, counted by RFC 7541 section 4.1
	entryCost    = 32
	maxEntries   = encoderTable / entryCost // divides what entry numbers wrap at
	maxIndexed   = 512                      // longer values are not worth the table
)

// encoder writes header blocks (RFC 7541). Fields whose values repeat from
// response to response go to the dynamic table, secrets never do, all else is a
// literal. Nothing is Huffman-coded: the few bytes are not worth the time.
type encoder struct {
	table    *table // made at first need
	added    uint32 // entries so far; the newest one has that number
	count    uint32 // of them, the newest ones that are still there
	size     int
	limit    int
	smallest uint32 // smallest table size that the peer has set, as far as announced
	update   bool   // the next block begins with a size update
}

// table is the memory of the dynamic table.
type table struct {
	entries [maxEntries]entry // entry n is at n % maxEntries
	// Numbers of the entries that were last added with a name, or for a line. They are
	// hints: more than one name or line may share a place.
	names [64]uint32
	lines [32]uint32
}

type entry struct {
	name nameID
	cost uint16
	own  []byte         // the value, if line is nil
	line *exchange.Line // what was added as a whole
}

func (at *entry) is(name nameID, value []byte) bool {
	if at.name != name {
		return false
	}
	if at.line != nil {
		return string(at.line.Value()) == string(value)
	}
	return string(at.own) == string(value)
}

func (t *table) at(n uint32) *entry { return &t.entries[n%maxEntries] }

// has tells whether entry n is still in the table.
func (e *encoder) has(n uint32) bool { return e.added-n < e.count }

func (e *encoder) init() { e.limit, e.smallest = encoderTable, peerTable }

// setPeerTable takes the peer's SETTINGS_HEADER_TABLE_SIZE. The table only
// shrinks: what a peer allows later is left unused, which is always right.
func (e *encoder) setPeerTable(n uint32) {
	if n >= e.smallest {
		return
	}
	e.smallest, e.update = n, true
	e.limit = min(e.limit, int(n))
	e.evict(0)
}

// begin starts a header block.
func (e *encoder) begin(b []byte) []byte {
	if e.update {
		e.update = false
		b = appendInt(b, 0x20, 5, uint64(e.smallest))
	}
	return b
}

func (e *encoder) status(b []byte, code int) []byte {
	switch code {
	case 200:
		return append(b, 0x80|8)
	case 204:
		return append(b, 0x80|9)
	case 206:
		return append(b, 0x80|10)
	case 304:
		return append(b, 0x80|11)
	case 400:
		return append(b, 0x80|12)
	case 404:
		return append(b, 0x80|13)
	case 500:
		return append(b, 0x80|14)
	}
	return append(b, 0x08, 3, byte('0'+code/100%10), byte('0'+code/10%10), byte('0'+code%10))
}

func (e *encoder) contentLength(b []byte, n int64) []byte {
	const static = 28
	var digits [20]byte
	value := strconv.AppendInt(digits[:0], n, 10)
	b = append(b, 0x0f, static-0x0f, byte(len(value)))
	return append(b, value...)
}

// field appends a field with its name in lower case. Fields that must not be in
// an HTTP/2 message, or cannot be, are left out.
func (e *encoder) field(b []byte, name, value []byte) []byte {
	if !validValue(value) {
		return b
	}
	known := lookUp(name)
	if known == nil {
		var scratch [48]byte
		lower, ok := appendLower(scratch[:0], name)
		if !ok {
			return b
		}
		return appendString(appendString(append(b, 0x00), lower), value)
	}
	switch known.policy {
	case drop:
		return b
	case repeats:
		if len(value) <= maxIndexed {
			return e.indexed(b, known, value)
		}
	case secret:
		return appendString(appendName(b, 0x10, 4, known.static, known.name), value)
	}
	return appendString(appendName(b, 0x00, 4, known.static, known.name), value)
}

// line is field for one that is the same time and again: it is recognised by its place
// in memory.
func (e *encoder) line(b []byte, l *exchange.Line) []byte {
	if e.table != nil {
		if n := e.table.lines[l.Hash()%uint32(len(e.table.lines))]; e.has(n) && e.table.at(n).line == l {
			return e.index(b, n)
		}
	}
	known := lookUp(l.Name())
	switch {
	case len(l.Value()) > maxIndexed, known != nil && (known.policy == drop || known.policy == secret):
		return e.field(b, l.Name(), l.Value())
	case known == nil:
		known = &knownName{name: strings.ToLower(string(l.Name()))}
	}
	b, _ = e.add(b, known, l.Value(), l)
	return b
}

// indexed refers to the dynamic table, or puts the field there.
func (e *encoder) indexed(b []byte, known *knownName, value []byte) []byte {
	if e.table != nil {
		if n := e.table.names[known.id%nameID(len(e.table.names))]; e.has(n) && e.table.at(n).is(known.id, value) {
			return e.index(b, n)
		}
		for n := e.added; e.has(n); n-- { // values may take turns
			if e.table.at(n).is(known.id, value) {
				return e.index(b, n)
			}
		}
	}
	b, at := e.add(b, known, value, nil)
	if at != nil {
		at.own = append(at.own[:0], value...)
	}
	return b
}

// index refers to entry n. The newest one has the lowest index.
func (e *encoder) index(b []byte, n uint32) []byte {
	return appendInt(b, 0x80, 7, uint64(staticEntries+1+e.added-n))
}

// add appends a field that goes to the table, in which it is at; nil if it is too large.
func (e *encoder) add(b []byte, known *knownName, value []byte, l *exchange.Line) (_ []byte, at *entry) {
	cost := len(known.name) + len(value) + entryCost
	if cost > e.limit {
		return appendString(appendName(b, 0x00, 4, known.static, known.name), value), nil
	}
	e.evict(cost)
	if e.table == nil {
		e.table = new(table)
	}
	e.added++
	e.count++
	e.size += cost
	at = e.table.at(e.added)
	at.name, at.cost, at.line = known.id, uint16(cost), l
	if l != nil {
		e.table.lines[l.Hash()%uint32(len(e.table.lines))] = e.added
	} else {
		e.table.names[known.id%nameID(len(e.table.names))] = e.added
	}
	return appendString(appendName(b, 0x40, 6, known.static, known.name), value), at
}

// evict forgets the oldest entries until cost more bytes fit.
func (e *encoder) evict(cost int) {
	for e.count > 0 && e.size+cost > e.limit {
		e.size -= int(e.table.at(e.added - e.count + 1).cost)
		e.count--
	}
}

// appendName begins a literal: its kind, and its name as an index or spelled out.
func appendName(b []byte, kind byte, prefix uint8, static uint8, name string) []byte {
	if static > 0 {
		return appendInt(b, kind, prefix, uint64(static))
	}
	return appendString(append(b, kind), name)
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(appendInt(b, 0, 7, uint64(len(s))), s...)
}

// appendInt appends an integer with a prefix of so many bits (RFC 7541 section 5.1).
func appendInt(b []byte, kind byte, prefix uint8, n uint64) []byte {
	limit := uint64(1)<<prefix - 1
	if n < limit {
		return append(b, kind|byte(n))
	}
	b = append(b, kind|byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		b = append(b, 0x80|byte(n&0x7f))
	}
	return append(b, byte(n))
}
