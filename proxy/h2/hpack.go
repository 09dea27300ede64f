package h2

import (
	"hash/maphash"
	"strconv"
)

// The encoder's table. Peers keep 4096 bytes by default; fewer suffice for what
// repeats, and what we remember is always a part of what they remember.
const (
	peerTable    = 4096 // SETTINGS_HEADER_TABLE_SIZE unless the peer says otherwise
	encoderTable = 2048 // bytes of entries that we refer to, counted by RFC 7541 section 4.1
	entryCost    = 32
	maxEntries   = encoderTable / entryCost
	maxIndexed   = 512 // longer values are not worth the table
)

// encoder writes header blocks (RFC 7541). Fields whose values repeat from
// response to response go to the dynamic table, secrets never do, all else is a
// literal. Nothing is Huffman-coded: the few bytes are not worth the time.
type encoder struct {
	entries  []entry // ring; made at first need
	first    int     // oldest entry
	count    int
	size     int
	limit    int
	smallest uint32 // smallest table size that the peer has set, as far as announced
	update   bool   // the next block begins with a size update
	seed     maphash.Seed
}

type entry struct {
	name  nameID
	hash  uint64
	cost  int
	value []byte
}

func (e *encoder) init() {
	e.limit, e.smallest = encoderTable, peerTable
	e.seed = maphash.MakeSeed()
}

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
	var scratch [48]byte
	lower, ok := appendLower(scratch[:0], name)
	if !ok || !validValue(value) {
		return b
	}
	known := lookUp(lower)
	switch known.policy {
	case drop:
		return b
	case repeats:
		if len(value) <= maxIndexed {
			return e.indexed(b, known, lower, value)
		}
	case secret:
		return appendString(appendName(b, 0x10, 4, known.static, lower), value)
	}
	return appendString(appendName(b, 0x00, 4, known.static, lower), value)
}

// indexed refers to the dynamic table, or puts the field there.
func (e *encoder) indexed(b []byte, known knownName, lower, value []byte) []byte {
	hash := maphash.Bytes(e.seed, value)
	for i := range e.count {
		// The newest entry has the lowest index.
		at := &e.entries[(e.first+e.count-1-i)%maxEntries]
		if at.hash == hash && at.name == known.id && string(at.value) == string(value) {
			return appendInt(b, 0x80, 7, uint64(staticEntries+1+i))
		}
	}
	cost := len(lower) + len(value) + entryCost
	if cost > e.limit {
		return appendString(appendName(b, 0x00, 4, known.static, lower), value)
	}
	e.evict(cost)
	if e.entries == nil {
		e.entries = make([]entry, maxEntries)
	}
	at := &e.entries[(e.first+e.count)%maxEntries]
	at.name, at.hash, at.cost = known.id, hash, cost
	at.value = append(at.value[:0], value...)
	e.count++
	e.size += cost
	return appendString(appendName(b, 0x40, 6, known.static, lower), value)
}

// evict forgets the oldest entries until cost more bytes fit.
func (e *encoder) evict(cost int) {
	for e.count > 0 && e.size+cost > e.limit {
		e.size -= e.entries[e.first].cost
		e.first = (e.first + 1) % maxEntries
		e.count--
	}
}

// appendName begins a literal: its kind, and its name as an index or spelled out.
func appendName(b []byte, kind byte, prefix uint8, static uint8, name []byte) []byte {
	if static > 0 {
		return appendInt(b, kind, prefix, uint64(static))
	}
	return appendString(append(b, kind), name)
}

func appendString(b, s []byte) []byte {
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
