package h2

import (
	"encoding/binary"
	"log/slog"

	"golang.org/x/net/http2/hpack"

	"portway/proxy/exchange"
)

// block is a header block that is being received. All blocks are decoded, also
// those that are of no use, since the decoder's table must follow the client's.
type block struct {
	active bool
	stream uint32
	last   bool // END_STREAM
	s      *stream
	skip   bool         // of no use
	wrong  *streamError // what to reset the stream with
	raw    int          // compressed bytes
	pieces int          // CONTINUATION frames

	// While it is decoded:
	size, lines int
	large       bool   // beyond a limit: to be answered with 431
	malformed   string // why
	regular     bool   // a field that is no pseudo-header was seen
	request     request
	trailers    exchange.Fields
}

// maxPieces bounds CONTINUATION frames, of which there is one per 16 KiB usually.
const maxPieces = 64

func (b *block) abandon() {
	if b.s != nil {
		b.s.release()
	}
	if b.request.ex != nil {
		exchange.Put(b.request.ex)
	}
	b.trailers.Reset()
	*b = block{trailers: b.trailers}
}

// onHeaders begins a block.
func (c *conn) onHeaders(h frameHeader, p []byte) error {
	if h.stream%2 == 0 {
		return &connError{codeProtocol, "HEADERS on a stream that is not the client's"}
	}
	p, err := unpad(h, p)
	if err != nil {
		return err
	}
	b := &c.block
	b.active, b.stream, b.last = true, h.stream, h.has(flagEndStream)
	if h.has(flagPriority) {
		if len(p) < priorityLen {
			return &connError{codeFrameSize, "HEADERS too short for its priority"}
		}
		if binary.BigEndian.Uint32(p)&maxWindow == h.stream {
			b.wrong = &streamError{codeProtocol, "stream depends on itself"}
		}
		p = p[priorityLen:]
	}
	if err := c.placeBlock(h); err != nil {
		return err
	}
	return c.addBlock(h, p)
}

// placeBlock decides what a block is about: a new request, trailers, or nothing
// that we still want to know.
func (c *conn) placeBlock(h frameHeader) error {
	b := &c.block
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[h.stream]; s != nil {
		s.refs.Add(1)
		b.s = s
		switch {
		case b.wrong != nil:
		case s.remoteClosed:
			b.wrong = &streamError{codeStreamClosed, "HEADERS after END_STREAM"}
		case !b.last:
			b.wrong = &streamError{codeProtocol, "second HEADERS without END_STREAM"}
		}
		return nil
	}
	if h.stream <= c.last {
		switch c.closed.find(h.stream) {
		case endOurs:
			b.skip = true
			return nil
		case endUnknown:
			return &connError{codeProtocol, "HEADERS on a stream with a number below one that was used"}
		}
		return &connError{codeStreamClosed, "HEADERS on a closed stream"}
	}
	if c.drain == drainFinal {
		b.skip = true
		return nil
	}
	c.last = h.stream
	switch {
	case b.wrong != nil:
	case len(c.streams) >= c.limits.Streams || c.handlers >= 2*c.limits.Streams:
		b.wrong = &streamError{codeRefusedStream, "more streams than allowed"}
	default:
		b.request.begin()
	}
	return nil
}

func (c *conn) onContinuation(h frameHeader, p []byte) error {
	if !c.block.active {
		return &connError{codeProtocol, "CONTINUATION without HEADERS"}
	}
	if c.block.pieces++; c.block.pieces > maxPieces {
		return &connError{codeEnhanceYourCalm, "too many CONTINUATION frames"}
	}
	return c.addBlock(h, p)
}

// addBlock decodes a piece of the block, and acts upon the block if it was the
// last.
func (c *conn) addBlock(h frameHeader, p []byte) error {
	b := &c.block
	if len(p) == 0 && !h.has(flagEndHeaders) {
		if err := c.charge(costEmpty, "empty header frames"); err != nil {
			return err
		}
	}
	// Compressed, it is smaller than what it stands for. We read on beyond the limit
	// so that the client can be told, but not for ever.
	if b.raw += len(p); b.raw > 2*c.limits.HeadBytes {
		return &connError{codeEnhanceYourCalm, "header block too large"}
	}
	if _, err := c.decoder.Write(p); err != nil {
		return &connError{codeCompression, err.Error()}
	}
	if !h.has(flagEndHeaders) {
		return nil
	}
	if err := c.decoder.Close(); err != nil {
		return &connError{codeCompression, err.Error()}
	}
	c.decoder.SetEmitEnabled(true)
	err := c.endBlock()
	b.abandon()
	return err
}

// onField takes a decoded field.
func (c *conn) onField(f hpack.HeaderField) {
	b := &c.block
	b.size += int(f.Size())
	b.lines++
	if b.size > c.limits.HeadBytes || b.lines > c.limits.Fields {
		b.large = true
		c.decoder.SetEmitEnabled(false)
		return
	}
	if b.malformed != "" {
		return
	}
	switch {
	case b.s != nil:
		b.malformed = b.trailer(f.Name, f.Value)
	case b.request.ex == nil:
	case f.IsPseudo():
		if b.regular {
			b.malformed = "pseudo-header behind other fields"
			return
		}
		b.malformed = b.request.pseudo(f.Name, f.Value)
	default:
		b.regular = true
		b.malformed = b.request.field(f.Name, f.Value)
	}
}

// trailer takes a trailer field; it returns what is wrong with it.
func (b *block) trailer(name, value string) string {
	if why := checkField(name, value); why != "" {
		return why
	}
	switch name {
	case "content-length", "host", "te", "trailer", "expect", "authorization", "cookie":
		return name + " in trailers" // RFC 9110 section 6.5.1
	}
	if exchange.TrailerAllowed(bytesOf(name)) {
		b.trailers.AddString(name, value)
	}
	return ""
}

// endBlock acts upon a complete block.
func (c *conn) endBlock() error {
	b := &c.block
	switch {
	case b.skip:
		return nil
	case b.s != nil:
		return c.endTrailers()
	case b.wrong != nil:
		return c.refuse(b.stream, b.wrong)
	case b.large:
		b.request.refuse(431, "header fields too large or too many")
	case b.malformed == "":
		b.malformed = b.request.finish(b.last)
	}
	if b.malformed != "" && !b.large {
		return c.refuse(b.stream, &streamError{codeProtocol, b.malformed})
	}
	refused := b.request.status != 0
	c.open()
	if refused {
		return c.charge(costReset, "refused requests")
	}
	return nil
}

// refuse resets a stream that has not come to be.
func (c *conn) refuse(id uint32, err *streamError) error {
	c.log(slog.LevelDebug, "HTTP/2 request refused", "reason", err)
	c.mu.Lock()
	b := c.queue()
	b.b = appendRSTStream(b.b, id, err.code)
	c.closed.add(id, endOurs)
	queue := c.checkQueue()
	c.mu.Unlock()
	if queue != nil {
		return queue
	}
	if err.code == codeRefusedStream {
		return c.charge(costRefused, "requests at once")
	}
	return c.charge(costReset, "malformed requests")
}

// open makes a stream of a request that is in order.
func (c *conn) open() {
	b := &c.block
	s := newStream(c, b.stream, b.request.ex)
	b.request.fill(s, b.last)
	b.request.ex = nil
	s.refs.Add(1) // for the handler
	c.mu.Lock()
	s.sendWindow = c.peerWindow
	s.recvWindow = c.limits.StreamWindow
	s.setRecvLimit(c.limits.StreamWindow)
	s.remoteClosed = b.last
	c.streams[s.id] = s
	c.mu.Unlock()
	c.fresh = append(c.fresh, s)
}

// endTrailers ends a request by its trailers.
func (c *conn) endTrailers() error {
	b := &c.block
	s := b.s
	c.mu.Lock()
	if s.err != nil {
		c.mu.Unlock()
		return nil // reset meanwhile
	}
	wrong := b.wrong
	switch {
	case wrong != nil:
	case b.malformed != "":
		wrong = &streamError{codeProtocol, b.malformed}
	case b.large:
		wrong = &streamError{codeEnhanceYourCalm, "trailers too large"}
	case s.declared >= 0 && s.received != s.declared:
		wrong = &streamError{codeProtocol, "less content than Content-Length says"}
	}
	if wrong != nil {
		return c.resetForError(s, wrong)
	}
	s.remoteEnd()
	c.mu.Unlock()
	s.in.endWith(&b.trailers)
	return nil
}

// unpad removes the padding of a HEADERS frame.
func unpad(h frameHeader, p []byte) ([]byte, error) {
	if !h.has(flagPadded) {
		return p, nil
	}
	if len(p) == 0 {
		return nil, &connError{codeFrameSize, "padded HEADERS without room for its padding"}
	}
	pad := int(p[0])
	if p = p[1:]; pad > len(p) {
		return nil, &connError{codeProtocol, "more padding than payload"}
	}
	return p[:len(p)-pad], nil
}
