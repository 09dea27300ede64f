package h2

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// launch starts the handler.
func (s *stream) launch(now time.Time) {
	s.launched = now
	s.ex.Start = now
	if q := &s.ex.Request; q.Length == exchange.LengthUnknown {
		if size, ok := s.in.whole(); ok {
			if q.Length = int64(size); size == 0 {
				q.Body = nil
			}
		}
	}
	s.c.srv.workers.do(s)
}

// run serves the stream; it is the task of a worker.
func (s *stream) run() {
	c := s.c
	sent, err := s.serve()
	s.finished.Store(true)
	s.ex.Finish(sent, err)
	if s.body != nil {
		s.body.end()
	}
	s.in.Close()
	c.mu.Lock()
	c.handlers--
	s.leaveUpload()
	flush := c.claim()
	if !flush {
		c.taskDone()
	}
	c.mu.Unlock()
	s.release()
	if flush {
		(*flusher)(c).run() // and then the task is done
	}
}

// leaveUpload deals with a client that still sends content although it has its
// answer: a little may come, since some clients do not like to be interrupted;
// where there is much, they are told. c.mu is held.
func (s *stream) leaveUpload() {
	c := s.c
	if s.err != nil || s.remoteClosed || c.err != nil {
		return
	}
	s.since = c.srv.now()
	if s.status != 0 || s.declared-s.received > int64(s.recvWindow) {
		c.reset(s, codeNo, errAnswered)
		s.release() // the connection's
	}
}

// errAnswered is why the rest of a request is not wanted.
var errAnswered = &streamError{codeNo, "answered before the request was complete"}

// serve calls the handler and sends what it answers. A panic costs only this
// stream.
func (s *stream) serve() (sent int64, err error) {
	defer func() {
		if v := recover(); v != nil {
			pe := exchange.NewPanicError(v)
			s.c.log(slog.LevelError, "panic in a handler", "panic", pe.Value, "stack", string(pe.Stack))
			s.abandon(codeInternal, "the handler panicked")
			sent, err = 0, pe
		}
	}()
	if s.status != 0 {
		s.c.log(slog.LevelDebug, "HTTP/2 request refused", "status", s.status, "reason", s.reason)
		s.apologise(s.status, s.reason)
	} else if err := s.handle(); err != nil {
		s.apologise(500, "internal error")
		_, _ = s.respond()
		return 0, err
	}
	return s.respond()
}

// handle calls the handler; an error is what is wrong with it.
func (s *stream) handle() (err error) {
	defer func() {
		if v := recover(); v != nil {
			pe := exchange.NewPanicError(v)
			s.c.log(slog.LevelError, "panic in a handler", "panic", pe.Value, "stack", string(pe.Stack))
			err = pe
		}
	}()
	s.c.srv.Handler.Serve(s.ex)
	switch p := &s.ex.Response; {
	case p.Status == 101 && p.Tunnel != nil && s.tunnel:
	case p.Status < 200 || p.Status > 599:
		err = fmt.Errorf("the handler left status %d, which cannot be sent", p.Status)
		s.c.log(slog.LevelError, "handler gave no proper response", "fault", err)
	}
	return err
}

// apologise replaces the response by one that says what went wrong.
func (s *stream) apologise(status int, reason string) {
	p := &s.ex.Response
	if p.Body != nil {
		_ = p.Body.Close()
	}
	if p.Tunnel != nil {
		_ = p.Tunnel.Close()
	}
	p.Fields.Reset()
	p.Trailers.Reset()
	*p = exchange.Response{Fields: p.Fields, Trailers: p.Trailers}
	if refuse := s.c.srv.Refuse; refuse != nil {
		refuse(s.ex, status, reason)
		return
	}
	reason += "\n"
	p.Status, p.Length = status, int64(len(reason))
	p.Fields.AddString("content-type", "text/plain; charset=utf-8")
	p.Body = exchange.BytesBody([]byte(reason))
}

// respond sends the response.
func (s *stream) respond() (sent int64, err error) {
	p := &s.ex.Response
	if p.Status == 101 {
		return s.relay(p.Tunnel)
	}
	last := uint8(withEnd)
	if p.Body != nil && (s.head || p.Status == 204 || p.Status == 304) {
		_ = p.Body.Close()
		return 0, s.send(nil, withHead|last)
	}
	if p.Body == nil {
		if p.Trailers.Len() > 0 {
			last = withTrailers
		}
		return 0, s.send(nil, withHead|last)
	}
	sent, err = s.sendBody(p)
	if err == nil {
		return sent, nil
	}
	if cause := s.ex.Canceled(); cause != nil {
		err = cause // the rest is a consequence
	}
	var reset *streamError
	if !errors.As(err, &reset) {
		s.abandon(codeInternal, "the response was cut off: "+err.Error())
	}
	return sent, err
}

// Content is read into buffers of two sizes: small ones for answers that are, or
// that come in dribs; big ones, of some full frames, for downloads.
const (
	smallCopy = 4 << 10
	bigCopy   = 4 * maxData
)

var smallCopies = sync.Pool{New: func() any { return new([smallCopy]byte) }}

// copyBuffer is one of those buffers.
type copyBuffer struct {
	small *[smallCopy]byte
	big   []byte
}

func (b *copyBuffer) take(big bool) []byte {
	b.free()
	if big {
		b.big = wire.Get(bigCopy)[:bigCopy]
		return b.big
	}
	b.small = smallCopies.Get().(*[smallCopy]byte)
	return b.small[:]
}

func (b *copyBuffer) free() {
	if b.small != nil {
		smallCopies.Put(b.small)
	}
	wire.Put(b.big)
	*b = copyBuffer{}
}

var errLongBody = errors.New("the response has more content than its Content-Length says")

// sendBody sends head, content and trailers.
func (s *stream) sendBody(p *exchange.Response) (sent int64, err error) {
	var pooled copyBuffer
	defer pooled.free()
	ready, _ := p.Body.(exchange.Buffered)
	parts := uint8(withHead)
	if p.Length != 0 && (ready == nil || ready.Buffered() == 0) {
		// What is slow to come must not hold up the head. (Where nothing is to come, the
		// head should have END_STREAM: gRPC takes it for something else otherwise.)
		if err := s.send(nil, withHead); err != nil {
			return 0, err
		}
		parts = 0
	}
	buf := pooled.take(p.Length > smallCopy)
	for {
		n, err := fill(buf, p, sent)
		switch {
		case p.Length >= 0 && sent+int64(n) > p.Length:
			return sent, errLongBody
		case isEOF(err) && p.Length >= 0 && sent+int64(n) < p.Length:
			return sent, io.ErrUnexpectedEOF
		case isEOF(err) && p.Trailers.Len() > 0:
			parts |= withTrailers
		case isEOF(err):
			parts |= withEnd
		case err != nil:
			return sent, err
		}
		if n > 0 || parts != 0 {
			if err := s.send(buf[:n], parts); err != nil {
				return sent, err
			}
		}
		sent += int64(n)
		if isEOF(err) {
			return sent, nil
		}
		parts = 0
		if n == len(buf) && pooled.big == nil {
			buf = pooled.take(true)
		}
	}
}

// fill reads into buf what comes without delay. Where a length is known, the end
// is awaited, so that it goes with the last content.
func fill(buf []byte, p *exchange.Response, sent int64) (n int, err error) {
	n, err = p.Body.Read(buf)
	if err == nil && p.Length >= 0 && sent+int64(n) >= p.Length {
		var extra [1]byte
		m := 0
		for m == 0 && err == nil {
			m, err = p.Body.Read(extra[:])
		}
		if m > 0 {
			return n, errLongBody
		}
	}
	return n, err
}
