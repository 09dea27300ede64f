package middleware

import (
	"bytes"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"portway/proxy/exchange"
)

// coding is a content coding (RFC 9110 section 8.4.1).
type coding uint8

const (
	zstdCoding coding = iota
	brotliCoding
	gzipCoding
	codings
)

var (
	codingNames  = [codings]string{"zstd", "br", "gzip"}
	codingTokens = [codings][]byte{[]byte("zstd"), []byte("br"), []byte("gzip")}
)

// negotiate chooses a coding by Accept-Encoding (RFC 9110 section 12.5.3): of offered,
// the one that the client likes best, and of several, the first. ok is false if
// content should rather be as it is.
func negotiate(fields *exchange.Fields, offered []coding) (best coding, ok bool) {
	var quality [codings]int // in thousandths
	const unsaid = -1
	for i := range quality {
		quality[i] = unsaid
	}
	identity, others := unsaid, 0
	for i := range fields.Len() {
		f := fields.At(i)
		if !exchange.EqualFold(f.Name, "accept-encoding") {
			continue
		}
		for list := f.Value; len(list) > 0; {
			var item []byte
			item, list, _ = bytes.Cut(list, []byte(","))
			name, q := readCoding(item)
			switch {
			case exchange.EqualFold(name, "zstd"):
				quality[zstdCoding] = q
			case exchange.EqualFold(name, "br"):
				quality[brotliCoding] = q
			case exchange.EqualFold(name, "gzip"), exchange.EqualFold(name, "x-gzip"):
				quality[gzipCoding] = q
			case exchange.EqualFold(name, "identity"):
				identity = q
			case exchange.EqualFold(name, "*"):
				others = q
			}
		}
	}
	most := max(identity, 0)
	for _, c := range offered {
		q := quality[c]
		if q == unsaid {
			q = others
		}
		if q > 0 && (q > most || q == most && !ok) {
			best, most, ok = c, q, true
		}
	}
	return best, ok
}

// readCoding reads one item of Accept-Encoding, such as "gzip;q=0.5". What is written
// wrong is not acceptable: its quality is 0.
func readCoding(item []byte) (name []byte, quality int) {
	name, params, more := bytes.Cut(item, []byte(";"))
	name = trim(name)
	if !more {
		return name, 1000
	}
	params = trim(params)
	if len(params) < 3 || params[0]|0x20 != 'q' || params[1] != '=' {
		return name, 0
	}
	return name, readQuality(params[2:])
}

// readQuality reads a qvalue (RFC 9110 section 12.4.2) in thousandths; 0 if it is
// none.
func readQuality(b []byte) int {
	if len(b) == 0 || len(b) > len("0.000") || b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '.' {
		return 0
	}
	q, unit := int(b[0]-'0')*1000, 100
	for _, c := range b[min(2, len(b)):] {
		if c < '0' || c > '9' {
			return 0
		}
		q += int(c-'0') * unit
		unit /= 10
	}
	if q > 1000 {
		return 0
	}
	return q
}

// encoder encodes content into memory. It is pooled with its buffers, since it is
// large: from half a megabyte to two.
type encoder struct {
	writer encodingWriter
	in     [16 << 10]byte
	out    []byte
}

// encodingWriter is what the libraries' writers have in common.
type encodingWriter interface {
	io.Writer
	Flush() error
	Close() error
	Reset(to io.Writer)
}

var _ io.Writer = (*encoder)(nil)

// Write takes encoded bytes.
func (e *encoder) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), nil
}

// Levels: where a proxy's time goes further than its bandwidth. Windows are bounded,
// for the sake of memory on both sides.
const (
	gzipLevel     = 5
	brotliQuality = 4
	window        = 18 // bits
)

// encoders holds encoders that are not in use.
var encoders = [codings]sync.Pool{
	zstdCoding: {New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<window),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options above are wrong
		}
		return &encoder{writer: w}
	}},
	brotliCoding: {New: func() any {
		return &encoder{writer: brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: brotliQuality, LGWin: window})}
	}},
	gzipCoding: {New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzipLevel)
		if err != nil {
			panic(err) // the level is wrong
		}
		return &encoder{writer: w}
	}},
}

func getEncoder(c coding) *encoder {
	e := encoders[c].Get().(*encoder)
	e.out = e.out[:0]
	e.writer.Reset(e)
	return e
}

func putEncoder(c coding, e *encoder) {
	e.writer.Reset(nil)
	encoders[c].Put(e)
}
