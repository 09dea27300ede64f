package h2

import (
	"portway/proxy/exchange"
)

// appendHead queues the head of the response of s; c.mu is held, as everywhere
// below but in Inform. last says that nothing follows.
func (c *conn) appendHead(s *stream, last bool) {
	p := &s.ex.Response
	status := p.Status
	if status == 101 {
		status = 200 // an accepted tunnel (RFC 8441 section 5)
	}
	out := c.queue()
	start := len(out.b)
	out.b = appendFrameHeader(out.b, 0, frameHeaders, 0, s.id)
	out.b = c.encoder.status(c.encoder.begin(out.b), status)
	// A 304 may say how long the content would be, but clients that take that for
	// content which is missing, such as Go's, are many.
	if p.Length >= 0 && status != 204 && status != 304 && p.Tunnel == nil {
		out.b = c.encoder.contentLength(out.b, p.Length)
	}
	c.appendFields(&p.Fields)
	c.closeBlock(start, s.id, last)
}

func (c *conn) appendFields(f *exchange.Fields) {
	b := c.out.b
	list := f.List()
	for i := range list {
		field := &list[i]
		if l := field.Line(); l != nil {
			b = c.encoder.line(b, l)
			continue
		}
		b = c.encoder.field(b, field.Name, field.Value)
	}
	c.out.b = b
}

// appendTrailers queues the trailers of the response of s.
func (c *conn) appendTrailers(s *stream) {
	out := c.queue()
	start := len(out.b)
	out.b = c.encoder.begin(appendFrameHeader(out.b, 0, frameHeaders, 0, s.id))
	c.appendFields(&s.ex.Response.Trailers)
	c.closeBlock(start, s.id, true)
}

// appendStatus queues a head of nothing but a status.
func (c *conn) appendStatus(id uint32, status int, flags uint8) {
	out := c.queue()
	start := len(out.b)
	out.b = appendFrameHeader(out.b, 0, frameHeaders, 0, id)
	out.b = c.encoder.status(c.encoder.begin(out.b), status)
	if status >= 200 {
		out.b = c.encoder.contentLength(out.b, 0)
	}
	c.closeBlock(start, id, flags&flagEndStream != 0)
}

// closeBlock completes the frame that begins at start, and makes several of it
// if it is too large.
func (c *conn) closeBlock(start int, id uint32, last bool) {
	var flags uint8
	if last {
		flags = flagEndStream
	}
	b := c.out.b
	size := len(b) - start - headerLen
	if size <= maxFrame {
		putFrameHeader(b[start:], size, frameHeaders, flags|flagEndHeaders, id)
		return
	}
	rest := append([]byte(nil), b[start+headerLen+maxFrame:]...)
	b = b[:start+headerLen+maxFrame]
	putFrameHeader(b[start:], maxFrame, frameHeaders, flags, id)
	for len(rest) > 0 {
		n, flags := len(rest), uint8(flagEndHeaders)
		if n > maxFrame {
			n, flags = maxFrame, 0
		}
		b = append(appendFrameHeader(b, n, frameContinuation, flags, id), rest[:n]...)
		rest = rest[n:]
	}
	c.out.b = b
}

// Inform sends an interim response at once.
func (s *stream) Inform(_ *exchange.Exchange, status int, fields *exchange.Fields) {
	if status <= 101 || status > 199 {
		return
	}
	c := s.c
	c.mu.Lock()
	if s.headSent || s.failed() != nil || c.queued() >= tooMuch {
		c.mu.Unlock()
		return
	}
	out := c.queue()
	start := len(out.b)
	out.b = appendFrameHeader(out.b, 0, frameHeaders, 0, s.id)
	out.b = c.encoder.status(c.encoder.begin(out.b), status)
	if fields != nil {
		c.appendFields(fields)
	}
	c.closeBlock(start, s.id, false)
	flush := c.claim()
	c.mu.Unlock()
	if flush {
		c.flush(true)
	}
}

// sendContinue tells the client that its content is wanted.
func (s *stream) sendContinue() {
	c := s.c
	c.mu.Lock()
	if s.headSent || s.failed() != nil {
		c.mu.Unlock()
		return
	}
	c.appendStatus(s.id, 100, 0)
	flush := c.claim()
	c.mu.Unlock()
	if flush {
		c.flush(true)
	}
}
