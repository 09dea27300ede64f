package h2

import (
	"encoding/binary"
	"io"
	"log/slog"

	"portway/proxy/exchange"
)

// checkFrame refuses frames that may not come now, by their header alone.
func (c *conn) checkFrame(h frameHeader) error {
	switch {
	case h.length > maxFrame:
		return &connError{codeFrameSize, "frame larger than 16384 bytes"}
	case !c.greeted && (h.typ != frameSettings || h.has(flagAck)):
		return &connError{codeProtocol, "first frame is not SETTINGS"}
	case c.block.active && (h.typ != frameContinuation || h.stream != c.block.stream):
		return &connError{codeProtocol, "header block interrupted by another frame"}
	}
	return nil
}

// frame works on a complete frame other than DATA.
func (c *conn) frame(h frameHeader, p []byte) error {
	switch h.typ {
	case frameHeaders:
		return c.onHeaders(h, p)
	case frameContinuation:
		return c.onContinuation(h, p)
	case frameSettings:
		return c.onSettings(h, p)
	case framePing:
		return c.onPing(h, p)
	case frameWindowUpdate:
		return c.onWindowUpdate(h, p)
	case frameRSTStream:
		return c.onRSTStream(h, p)
	case framePriority:
		return c.onPriority(h, p)
	case framePushPromise:
		return &connError{codeProtocol, "PUSH_PROMISE from a client"}
	case frameGoAway:
		if h.stream != 0 {
			return &connError{codeProtocol, "GOAWAY on a stream"}
		}
		if len(p) < 8 {
			return &connError{codeFrameSize, "GOAWAY of less than 8 bytes"}
		}
		c.log(slog.LevelDebug, "client goes away", "code", errCode(binary.BigEndian.Uint32(p[4:])))
		return c.charge(costSettings, "GOAWAY frames")
	}
	return c.charge(costFrame, "frames of unknown type")
}

// dataFrame is a DATA frame that is being received.
type dataFrame struct {
	s       *stream // nil: the content is dropped
	content int     // still to come
	pad     int     // still to come behind it
	padding int     // that the frame spends on padding
	last    bool    // END_STREAM
}

func (d *dataFrame) left() int { return d.content + d.pad }

// beginData takes the header of a DATA frame. It returns how long that is, with
// the length of the padding; nothing has happened yet if that is not at hand.
func (c *conn) beginData(h frameHeader, b []byte) (n int, err error) {
	n, pad, padding := headerLen, 0, 0
	if h.has(flagPadded) {
		n++
		if h.length == 0 {
			return 0, &connError{codeFrameSize, "padded DATA frame without room for its padding"}
		}
		if len(b) < n {
			return n, nil
		}
		pad = int(b[headerLen])
		padding = pad + 1
		if padding > h.length {
			return 0, &connError{codeProtocol, "more padding than payload"}
		}
	}
	c.data = dataFrame{content: h.length - padding, pad: pad, padding: padding, last: h.has(flagEndStream)}
	s, err := c.takeWindow(h, c.data.content)
	if err != nil {
		return 0, err
	}
	c.data.s = s
	if s == nil {
		c.giveConnWindow(h.length)
	}
	if c.data.content == 0 && !c.data.last {
		if err := c.charge(costEmpty, "empty DATA frames"); err != nil {
			return 0, err
		}
	}
	if c.data.left() == 0 {
		c.endData()
	}
	return n, nil
}

// takeWindow books a DATA frame and returns the stream that takes its content,
// nil if none does.
func (c *conn) takeWindow(h frameHeader, content int) (*stream, error) {
	c.mu.Lock()
	if c.recvWindow -= h.length; c.recvWindow < 0 {
		c.mu.Unlock()
		return nil, &connError{codeFlowControl, "more content than the connection's window allows"}
	}
	s := c.streams[h.stream]
	if s == nil {
		defer c.mu.Unlock()
		return nil, c.unexpected(h, "DATA")
	}
	s.recvWindow -= h.length
	s.received += int64(content)
	var wrong *streamError
	switch {
	case s.remoteClosed:
		wrong = &streamError{codeStreamClosed, "DATA after END_STREAM"}
	case s.recvWindow < 0:
		wrong = &streamError{codeFlowControl, "more content than the stream's window allows"}
	case s.declared >= 0 && s.received > s.declared:
		wrong = &streamError{codeProtocol, "more content than Content-Length says"}
	case h.has(flagEndStream) && s.declared >= 0 && s.received != s.declared:
		wrong = &streamError{codeProtocol, "less content than Content-Length says"}
	default:
		s.refs.Add(1)
		if h.has(flagEndStream) {
			s.remoteEnd()
		}
		c.mu.Unlock()
		return s, nil
	}
	return nil, c.resetForError(s, wrong)
}

// takeData consumes content or padding and returns how much.
func (c *conn) takeData(b []byte) int {
	d := &c.data
	n := min(len(b), d.content)
	if n > 0 {
		d.content -= n
		if d.s != nil {
			if dropped := d.s.in.put(b[:n]); dropped > 0 {
				c.giveConnWindow(dropped)
			}
		}
	}
	skip := min(len(b)-n, d.pad)
	d.pad -= skip
	if d.left() == 0 {
		c.endData()
	}
	return n + skip
}

func (c *conn) endData() {
	d := &c.data
	if s := d.s; s != nil {
		if d.padding > 0 {
			s.in.pad(d.padding)
		}
		if d.last {
			s.in.end(io.EOF)
		}
		s.release()
	}
	*d = dataFrame{}
}

// unexpected decides about a frame for a stream that is not open; c.mu is held.
func (c *conn) unexpected(h frameHeader, what string) error {
	if c.isIdle(h.stream) {
		return &connError{codeProtocol, what + " on a stream that is not open"}
	}
	switch c.closed.find(h.stream) {
	case endOurs:
		return nil // it was on its way when we reset the stream
	case endNormal:
		return &connError{codeStreamClosed, what + " on a closed stream"}
	}
	b := c.queue()
	b.b = appendRSTStream(b.b, h.stream, codeStreamClosed)
	c.closed.add(h.stream, endOurs)
	return c.charge(costReset, "frames on closed streams")
}

// isIdle tells whether the client cannot have opened the stream yet.
func (c *conn) isIdle(id uint32) bool { return id == 0 || id%2 == 0 || id > c.last }

func (c *conn) onSettings(h frameHeader, p []byte) error {
	switch {
	case h.stream != 0:
		return &connError{codeProtocol, "SETTINGS on a stream"}
	case h.has(flagAck) && len(p) > 0:
		return &connError{codeFrameSize, "SETTINGS acknowledgement with a payload"}
	case h.has(flagAck):
		return c.charge(costFrame, "SETTINGS frames")
	case len(p)%settingLen != 0:
		return &connError{codeFrameSize, "SETTINGS not a multiple of 6 bytes"}
	}
	if err := c.charge(costSettings, "SETTINGS frames"); err != nil {
		return err
	}
	c.greeted = true
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; len(p) > 0; p = p[settingLen:] {
		if err := c.set(setting{binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])}); err != nil {
			return err
		}
	}
	b := c.queue()
	b.b = appendFrameHeader(b.b, 0, frameSettings, flagAck, 0)
	return c.checkQueue()
}

// set takes one setting of the client; c.mu is held.
func (c *conn) set(s setting) error {
	switch s.id {
	case settingHeaderTableSize:
		c.encoder.setPeerTable(s.value)
	case settingEnablePush:
		if s.value > 1 {
			return &connError{codeProtocol, "ENABLE_PUSH is neither 0 nor 1"}
		}
	case settingMaxFrameSize:
		if s.value < maxFrame || s.value > 1<<24-1 {
			return &connError{codeProtocol, "MAX_FRAME_SIZE out of range"}
		}
	case settingInitialWindowSize:
		if s.value > maxWindow {
			return &connError{codeFlowControl, "INITIAL_WINDOW_SIZE out of range"}
		}
		grown := int(s.value) - c.peerWindow
		c.peerWindow = int(s.value)
		for _, s := range c.streams {
			if s.sendWindow += grown; s.sendWindow > maxWindow {
				return &connError{codeFlowControl, "INITIAL_WINDOW_SIZE makes a window too large"}
			}
			if s.sendWindow > 0 && s.queue == nil {
				c.signal(s)
			}
		}
	case settingEnableConnectProtocol:
		if s.value > 1 {
			return &connError{codeProtocol, "ENABLE_CONNECT_PROTOCOL is neither 0 nor 1"}
		}
	}
	return nil
}

// checkQueue notices clients that make us queue answers and do not read them.
func (c *conn) checkQueue() error {
	if c.queued() > tooMuch {
		return &connError{codeEnhanceYourCalm, "answers are not read"}
	}
	return nil
}

// pingData marks our pings: those of a drain, and those that ask for a sign of life.
const (
	pingDrain = "portdrai"
	pingAlive = "portaliv"
)

func (c *conn) onPing(h frameHeader, p []byte) error {
	switch {
	case h.stream != 0:
		return &connError{codeProtocol, "PING on a stream"}
	case len(p) != 8:
		return &connError{codeFrameSize, "PING without 8 bytes"}
	}
	if err := c.charge(costFrame, "PING frames"); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !h.has(flagAck):
		b := c.queue()
		b.b = appendPing(b.b, true, p)
		return c.checkQueue()
	case string(p) == pingAlive:
		c.pingSince = 0
	case string(p) == pingDrain && c.drain == drainAnnounced:
		c.drainFinally()
	}
	return nil
}

func (c *conn) onWindowUpdate(h frameHeader, p []byte) error {
	if len(p) != 4 {
		return &connError{codeFrameSize, "WINDOW_UPDATE without 4 bytes"}
	}
	if err := c.charge(costFrame, "WINDOW_UPDATE frames"); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(p) & maxWindow)
	c.mu.Lock()
	if h.stream == 0 {
		defer c.mu.Unlock()
		switch c.sendWindow += n; {
		case n == 0:
			return &connError{codeProtocol, "WINDOW_UPDATE by 0"}
		case c.sendWindow > maxWindow:
			return &connError{codeFlowControl, "WINDOW_UPDATE makes the window too large"}
		}
		c.admit()
		return nil
	}
	s := c.streams[h.stream]
	if s == nil {
		defer c.mu.Unlock()
		if c.isIdle(h.stream) {
			return &connError{codeProtocol, "WINDOW_UPDATE on a stream that is not open"}
		}
		return nil
	}
	var wrong *streamError
	switch s.sendWindow += n; {
	case n == 0:
		wrong = &streamError{codeProtocol, "WINDOW_UPDATE by 0"}
	case s.sendWindow > maxWindow:
		wrong = &streamError{codeFlowControl, "WINDOW_UPDATE makes the window too large"}
	default:
		if s.sendWindow > 0 && s.queue == nil {
			c.signal(s)
		}
		c.mu.Unlock()
		return nil
	}
	return c.resetForError(s, wrong)
}

func (c *conn) onRSTStream(h frameHeader, p []byte) error {
	if len(p) != 4 {
		return &connError{codeFrameSize, "RST_STREAM without 4 bytes"}
	}
	c.mu.Lock()
	s := c.streams[h.stream]
	if s == nil {
		idle := c.isIdle(h.stream)
		c.mu.Unlock()
		if idle {
			return &connError{codeProtocol, "RST_STREAM on a stream that is not open"}
		}
		return c.charge(costFrame, "RST_STREAM frames")
	}
	err := &goneError{&streamError{code: errCode(binary.BigEndian.Uint32(p))}}
	cost := costFrame
	if !s.localClosed && s.young() {
		cost = costReset
	}
	c.drop(s, err, endTheirs)
	c.mu.Unlock()
	s.cancel(err)
	s.release()
	return c.charge(cost, "RST_STREAM frames")
}

// goneError is the cause of cancellation where the client reset a stream, or
// left us no choice.
type goneError struct{ reset *streamError }

func (e *goneError) Error() string   { return e.reset.Error() }
func (e *goneError) Unwrap() []error { return []error{exchange.ErrClientGone, e.reset} }

func (c *conn) onPriority(h frameHeader, p []byte) error {
	if h.stream == 0 {
		return &connError{codeProtocol, "PRIORITY on stream 0"}
	}
	var wrong *streamError
	switch {
	case len(p) != priorityLen:
		wrong = &streamError{codeFrameSize, "PRIORITY without 5 bytes"}
	case binary.BigEndian.Uint32(p)&maxWindow == h.stream:
		wrong = &streamError{codeProtocol, "stream depends on itself"}
	default:
		return c.charge(costFrame, "PRIORITY frames")
	}
	c.mu.Lock()
	if s := c.streams[h.stream]; s != nil {
		return c.resetForError(s, wrong)
	}
	c.mu.Unlock()
	// There is no stream that could be reset.
	return &connError{wrong.code, wrong.reason}
}
