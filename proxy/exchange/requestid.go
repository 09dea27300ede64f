package exchange

import (
	"encoding/binary"
	"math/rand/v2"
)

// RequestID returns the request's ID, made at the first call: 16 hex digits, not all of
// them 0. It tells requests apart and is no secret.
func (ex *Exchange) RequestID() string {
	ex.makeID()
	return string(ex.id[:])
}

// AppendRequestID appends RequestID to b, without an allocation of its own.
func (ex *Exchange) AppendRequestID(b []byte) []byte {
	ex.makeID()
	return append(b, ex.id[:]...)
}

// RequestIDText is RequestID as bytes that are valid as long as ex, and must not be
// written to.
func (ex *Exchange) RequestIDText() []byte {
	ex.makeID()
	return ex.id[:]
}

func (ex *Exchange) makeID() {
	if ex.hasID {
		return
	}
	x := max(rand.Uint64(), 1) // no system call, unlike crypto/rand
	binary.BigEndian.PutUint64(ex.id[:], hex8(uint32(x>>32)))
	binary.BigEndian.PutUint64(ex.id[8:], hex8(uint32(x)))
	ex.hasID = true
}

// hex8 is x as eight hex digits, the first one in the highest byte.
func hex8(x uint32) uint64 {
	const low = 0x0101010101010101
	y := uint64(x) // spread, four bits to a byte
	y = (y | y<<16) & 0x0000ffff0000ffff
	y = (y | y<<8) & 0x00ff00ff00ff00ff
	y = (y | y<<4) & 0x0f0f0f0f0f0f0f0f
	letters := (y + 6*low) >> 4 & low // 1 where it is 10 or more
	return y + '0'*low + letters*('a'-'0'-10)
}
