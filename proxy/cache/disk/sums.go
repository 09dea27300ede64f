package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// ChunkSize is how much of a content has a checksum of its own, and is read at once.
const ChunkSize = 32 << 10

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli) // which processors have an instruction for
	errSum     = errors.New("the checksum does not match")
)

// chunks is how many there are of a content.
func chunks(size int64) int { return int((size + ChunkSize - 1) / ChunkSize) }

// chunk is number i of b.
func chunk(b []byte, i int) []byte { return b[i*ChunkSize : min((i+1)*ChunkSize, len(b))] }

func appendSums(dst []byte, sums []uint32) []byte {
	for _, s := range sums {
		dst = binary.LittleEndian.AppendUint32(dst, s)
	}
	return dst
}

func decodeSums(b []byte, n int) []uint32 {
	sums := make([]uint32, n)
	for i := range sums {
		sums[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return sums
}

// summer makes checksums of what comes piece by piece.
type summer struct {
	sums []uint32
	part int // bytes of the last chunk
}

func (s *summer) add(p []byte) {
	for len(p) > 0 {
		if s.part == 0 {
			s.sums = append(s.sums, 0)
		}
		n := min(len(p), ChunkSize-s.part)
		last := &s.sums[len(s.sums)-1]
		*last = crc32.Update(*last, castagnoli, p[:n])
		s.part = (s.part + n) % ChunkSize
		p = p[n:]
	}
}
