package h1

import (
	"io"
	"math"

	"portway/proxy/exchange"
)

// maxChunkLine bounds the line with the size of a chunk and its extensions,
// which nobody reads.
const maxChunkLine = 256

// chunkState is what comes next in a chunked body.
type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart
	trailerLine
	lastLF
)

// dechunk removes chunked framing (RFC 9112 section 7.1) from src and puts
// content into dst, which is as long as src and may be the same memory. It stops
// early only at the message's end, where it sets b.err to io.EOF.
func (b *BodyReader) dechunk(dst, src []byte) (out, in int, err error) {
	for in < len(src) {
		if b.state == chunkData {
			n := copy(dst[out:], src[in:in+int(min(int64(len(src)-in), b.left))])
			in, out = in+n, out+n
			if b.left -= int64(n); b.left == 0 {
				b.state = chunkDataCR
			}
			continue
		}
		c := src[in]
		in++
		if err := b.step(c); err != nil {
			return out, in, err
		}
		if b.err != nil {
			break
		}
	}
	return out, in, nil
}

// step takes one byte of framing.
func (b *BodyReader) step(c byte) error {
	switch b.state {
	case chunkSize:
		return b.stepSize(c)
	case chunkExtension:
		return b.stepExtension(c)
	case chunkSizeLF:
		if c != '\n' {
			return bad("bare CR behind a chunk size")
		}
		if b.state = chunkData; b.left == 0 {
			b.state = trailerStart
		}
		b.digits, b.line = 0, 0
	case chunkDataCR:
		if c != '\r' {
			return bad("chunk is longer than its size")
		}
		b.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return bad("bare CR behind a chunk")
		}
		b.state = chunkSize
	case trailerStart:
		if c == '\r' {
			b.state = lastLF
			return nil
		}
		b.state = trailerLine
		return b.stepTrailer(c)
	case trailerLine:
		return b.stepTrailer(c)
	case lastLF:
		if c != '\n' {
			return bad("bare CR behind the last chunk")
		}
		b.err = io.EOF
	}
	return nil
}

func (b *BodyReader) stepSize(c byte) error {
	if class[c]&isHex != 0 {
		b.digits++
		if b.line++; b.digits > 16 || b.left > math.MaxInt64>>4 {
			return bad("chunk size too large")
		}
		b.left = b.left<<4 | int64(unhex(c))
		return nil
	}
	switch {
	case b.digits == 0:
		return bad("chunk size begins with %s", char(c))
	case c == '\r':
		b.state = chunkSizeLF
	case c == ';':
		b.state, b.quoted, b.escaped = chunkExtension, false, false
	default:
		return bad("character %s behind a chunk size", char(c))
	}
	return nil
}

// stepExtension skips extensions, whatever they say, but not what others could
// take for the end of the line.
func (b *BodyReader) stepExtension(c byte) error {
	if b.line++; b.line > maxChunkLine {
		return bad("chunk extension too long")
	}
	switch {
	case c == '\r' && b.quoted:
		return bad("line break in a quoted chunk extension")
	case c == '\r':
		b.state = chunkSizeLF
	case c < ' ' && c != '\t' || c == 0x7f:
		return bad("character %s in a chunk extension", char(c))
	case b.escaped:
		b.escaped = false
	case c == '\\':
		b.escaped = b.quoted
	case c == '"':
		b.quoted = !b.quoted
	}
	return nil
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// stepTrailer collects the trailer section and parses it at its end.
func (b *BodyReader) stepTrailer(c byte) error {
	b.section = append(b.section, c)
	n := len(b.section)
	if n > b.limits.headBytes() {
		return &SyntaxError{Status: 431, Reason: "trailer section too large"}
	}
	if c != '\n' {
		return nil
	}
	if n < 2 || b.section[n-2] != '\r' {
		return bad("trailer line ends in a bare LF")
	}
	if n < 4 || b.section[n-3] != '\n' {
		return nil
	}
	if err := b.parseTrailers(); err != nil {
		if b.trailers != nil {
			b.trailers.Reset()
		}
		return err
	}
	b.err = io.EOF
	return nil
}

func (b *BodyReader) parseTrailers() error {
	maxFields := b.limits.fields()
	for n, rest := 0, b.section; ; n++ {
		line, next, err := cutLine(rest)
		if err != nil || len(line) == 0 {
			return err
		}
		rest = next
		if n == maxFields {
			return &SyntaxError{Status: 431, Reason: "too many trailer fields"}
		}
		name, value, err := cutField(line)
		if err != nil {
			return err
		}
		if b.trailers != nil && exchange.TrailerAllowed(name) {
			b.trailers.Add(name, value)
		}
	}
}
