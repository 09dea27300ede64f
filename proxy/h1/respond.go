package h1

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// exchange reads one request, has it answered, and writes the response.
func (c *conn) exchange() outcome {
	ex := exchange.Get()
	defer exchange.Put(ex)
	n, rh, err := c.readHead(&ex.Request)
	if err == nil {
		err = c.checkScheme(&rh)
	}
	if err != nil {
		return c.noRequest(ex, err)
	}
	next := waiting
	if rh.Kind != NoBody {
		next = paused
		ex.Request.Body = &c.body
	}
	if !c.recv.change(next) {
		return c.refuse(ex, slowHead)
	}
	ex.Conn, ex.Front, ex.Start = c.connFor(rh.HTTP10), c, time.Now()
	c.body.start(&rh, c.in[n:c.filled], &ex.Request.Trailers)
	c.begin(ex, rh.HTTP10)
	c.handle(ex)
	sent, keep, err := c.respond(ex, &rh)
	return c.finish(ex, sent, keep, err)
}

// finish ends the exchange and tells what becomes of the connection.
func (c *conn) finish(ex *exchange.Exchange, sent int64, keep bool, err error) outcome {
	c.end()
	ex.Finish(sent, err)
	switch {
	case err != nil:
		return closed
	case keep && c.body.settle():
		c.keepRest(c.body.reader.Rest())
		c.body.reader = BodyReader{} // refers to buffers
		return again
	case c.body.reader.ended() && !c.body.expect.Load():
		return closeNow
	}
	return lingerAndClose
}

// noRequest ends a connection that holds no further request.
func (c *conn) noRequest(ex *exchange.Exchange, err error) outcome {
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		return c.refuse(ex, syntax)
	}
	return closeNow
}

var slowHead = &SyntaxError{Status: 408, Reason: "request head took too long"}

// checkScheme refuses a target in absolute form that means the other kind of
// connection than this one.
func (c *conn) checkScheme(rh *RequestHead) error {
	secure := c.info != nil && c.info.TLS != nil
	if rh.Scheme != nil && exchange.EqualFold(rh.Scheme, "https") != secure {
		return bad("request target is for %q, which this connection is not", rh.Scheme)
	}
	return nil
}

// handle has the handler fill in ex.Response, whatever becomes of the handler.
func (c *conn) handle(ex *exchange.Exchange) {
	defer func() {
		if v := recover(); v != nil {
			c.srv.log(slog.LevelError, "handler panicked", "panic", v,
				"host", string(ex.Request.Authority), "path", string(ex.Request.Path), "stack", string(debug.Stack()))
			c.apologise(ex, 500, "internal error")
		}
	}()
	c.srv.Handler.Serve(ex)
}

// refuse answers what is no request, and ends the connection.
func (c *conn) refuse(ex *exchange.Exchange, why *SyntaxError) outcome {
	c.srv.log(slog.LevelDebug, "request refused", "remote", c.remote(), "status", why.Status, "reason", why.Reason)
	// Nothing of a request that was not understood is to be believed.
	ex.Request.Fields.Reset()
	ex.Request = exchange.Request{Fields: ex.Request.Fields}
	ex.Conn, ex.Front, ex.Start = c.info, c, time.Now()
	rh := RequestHead{}
	c.body.start(&rh, nil, nil)
	c.begin(ex, false)
	c.apologise(ex, why.Status, why.Reason)
	sent, _, err := c.respond(ex, &rh)
	if c.finish(ex, sent, false, err) == closed {
		return closed
	}
	return lingerAndClose
}

func (c *conn) remote() string {
	if c.info != nil && c.info.Remote.IsValid() {
		return c.info.Remote.String()
	}
	return c.nc.RemoteAddr().String()
}

// apologise replaces the response by one that says what went wrong.
func (c *conn) apologise(ex *exchange.Exchange, status int, reason string) {
	p := &ex.Response
	if p.Body != nil {
		_ = p.Body.Close()
	}
	if p.Tunnel != nil {
		_ = p.Tunnel.Close()
	}
	p.Fields.Reset()
	p.Trailers.Reset()
	*p = exchange.Response{Fields: p.Fields, Trailers: p.Trailers}
	if c.srv.Refuse != nil {
		c.srv.Refuse(ex, status, reason)
		return
	}
	text := strings.ToValidUTF8(reason, "?") + "\n"
	p.Status, p.Length = status, int64(len(text))
	p.Fields.AddString("Content-Type", "text/plain; charset=utf-8")
	p.Body = exchange.BytesBody([]byte(text))
}

// fault tells what is wrong with a response that a handler filled in.
func fault(ex *exchange.Exchange) string {
	p := &ex.Response
	switch {
	case p.Status == 101 && p.Tunnel != nil && ex.Request.Upgrade != nil:
		return ""
	case p.Status < 200 || p.Status > 599:
		return fmt.Sprintf("status %d cannot be sent", p.Status)
	case p.Body == nil && p.Length != 0 && !noContent(ex):
		return fmt.Sprintf("a body of length %d was announced, but there is none", p.Length)
	}
	return ""
}

// noContent tells whether a response has no content whatever its head says.
func noContent(ex *exchange.Exchange) bool {
	return ex.Response.Status == 204 || ex.Response.Status == 304 || string(ex.Request.Method) == "HEAD"
}

// respond writes the response. keep tells whether the connection can be used
// again, provided that the request was read to its end.
func (c *conn) respond(ex *exchange.Exchange, rh *RequestHead) (sent int64, keep bool, err error) {
	c.beginResponse()
	if why := c.body.malformed(); why != nil {
		// Whatever the handler made of it, there was no such request.
		c.apologise(ex, why.Status, why.Reason)
	}
	if why := fault(ex); why != "" {
		c.srv.log(slog.LevelError, "handler gave no proper response", "fault", why,
			"host", string(ex.Request.Authority), "path", string(ex.Request.Path))
		c.apologise(ex, 500, "internal error")
	}
	p := &ex.Response
	if p.Status == 101 {
		sent, err = c.tunnel(ex, rh)
		return sent, false, err
	}
	end := responseEnd{Length: -1, Close: !rh.KeepAlive || c.drain.Load() || c.srv.last.Load() || c.body.endsConnection()}
	content := !noContent(ex)
	switch {
	case p.Status == 204 || p.Status == 304 && p.Length <= 0:
	case !content || p.Length >= 0:
		end.Length = p.Length
	case rh.HTTP10:
		end.Close = true
	default:
		end.Chunked = true
	}
	end.KeepAlive = rh.HTTP10 && !end.Close
	s := sender{conn: c, body: p.Body, left: end.Length, chunked: end.Chunked, buf: wire.Get(wire.Small)}
	if !end.Chunked && c.plain != nil {
		s.tcp, _ = c.plain.Conn.(*net.TCPConn)
	}
	s.pending = appendResponseHead(s.buf[:0], p.Status, &p.Fields, end)
	if content && p.Body != nil {
		err = s.stream(&p.Trailers)
	} else {
		err = s.flush()
	}
	wire.Put(s.buf)
	if c.cut.Load() && err == nil {
		err = ex.Canceled() // written, but to nobody
	}
	if err != nil {
		err = c.explain(ex, err)
		if content && !end.Chunked && end.Length < 0 {
			// Only a reset tells this client that something is missing.
			if tcp, ok := c.sock.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		}
	}
	return s.sent, !end.Close, err
}

// explain gives the reason why a response was not written to its end.
func (c *conn) explain(ex *exchange.Exchange, err error) error {
	if cause := ex.Canceled(); cause != nil {
		return cause
	}
	var failed *writeError
	if errors.As(err, &failed) {
		return fmt.Errorf("%w (%w)", exchange.ErrClientGone, failed.cause)
	}
	return err
}

// writeError tells that the client, and not the origin, is at fault.
type writeError struct{ cause error }

func (e *writeError) Error() string { return e.cause.Error() }

// sender writes a response's content behind its head.
type sender struct {
	conn    *conn
	body    exchange.Body
	left    int64 // of a body of known length; -1: unknown
	chunked bool
	tcp     *net.TCPConn // takes content as it is; nil if it needs framing or TLS
	buf     []byte       // pooled
	pending []byte       // to be written; usually lies in buf
	content int          // content in pending
	sent    int64        // content written
}

const (
	sizeLine = len("ffff\r\n")          // before a chunk, at most
	tailRoom = len("\r\n0\r\n\r\n") + 1 // behind it
	minRoom  = 1 << 10
)

// stream sends head and content, together where the content is at hand, and
// otherwise each piece when it comes.
func (s *sender) stream(trailers *exchange.Fields) error {
	buffered, _ := s.body.(exchange.Buffered)
	atHand := func() bool { return buffered != nil && buffered.Buffered() > 0 }
	full, empty := 0, 0
	for s.left != 0 {
		if len(s.pending) > 0 && (!atHand() || len(s.buf)-len(s.pending) < minRoom) {
			if err := s.flush(); err != nil {
				return err
			}
		}
		begin := len(s.pending)
		if s.chunked {
			begin += sizeLine
		}
		room := s.buf[begin : len(s.buf)-tailRoom]
		n, err := s.fill(room, atHand)
		if n == 0 && err == nil {
			if empty++; empty == 100 {
				return io.ErrNoProgress
			}
			continue
		}
		empty = 0
		if n > 0 {
			s.frame(begin, n)
		}
		if err == io.EOF {
			return s.finish(trailers)
		}
		if e := s.flush(); e != nil {
			return e
		}
		if err != nil {
			return err
		}
		// A body that fills the buffer time and again is large.
		if full++; n < len(room) {
			full = 0
		}
		if full < 2 {
			continue
		}
		if len(s.buf) == wire.Small {
			wire.Put(s.buf)
			s.buf = wire.Get(wire.Large)
		}
		if err := s.splice(); err == io.EOF {
			return s.finish(trailers)
		} else if err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	// The end must be seen, so that the origin's connection can be used again.
	n, err := s.body.Read(s.conn.one[:])
	if n > 0 {
		return errors.New("response has more content than its Content-Length says")
	}
	if err != nil && err != io.EOF {
		return err
	}
	return nil
}

// fill reads into p, again as long as there is more at hand.
func (s *sender) fill(p []byte, atHand func() bool) (n int, err error) {
	if s.left >= 0 && int64(len(p)) > s.left {
		p = p[:s.left]
	}
	for {
		k, err := s.body.Read(p[n:])
		n += k
		if err != nil || n == len(p) || k == 0 || !atHand() {
			return n, err
		}
	}
}

// frame makes n bytes of content, which lie in buf from begin on, a part of what
// is pending.
func (s *sender) frame(begin, n int) {
	s.content += n
	if s.left > 0 {
		s.left -= int64(n)
	}
	if !s.chunked {
		s.pending = s.buf[:begin+n]
		return
	}
	var line [sizeLine]byte
	size := appendChunkSize(line[:0], n)
	if begin == sizeLine { // nothing before it: the line goes right in front
		copy(s.buf[sizeLine-len(size):], size)
		s.pending = appendChunkEnd(s.buf[sizeLine-len(size) : begin+n])
		return
	}
	at := begin - sizeLine
	at += copy(s.buf[at:], size)
	at += copy(s.buf[at:], s.buf[begin:begin+n])
	s.pending = appendChunkEnd(s.buf[:at])
}

// finish writes the end of the message.
func (s *sender) finish(trailers *exchange.Fields) error {
	if s.chunked {
		s.pending = appendLastChunk(s.pending, trailers)
	}
	if err := s.flush(); err != nil {
		return err
	}
	if s.left > 0 {
		return fmt.Errorf("%w: response ended %d bytes before its Content-Length", io.ErrUnexpectedEOF, s.left)
	}
	return nil
}

func (s *sender) flush() error {
	if len(s.pending) == 0 {
		return nil
	}
	if err := s.conn.write(s.pending); err != nil {
		return &writeError{err}
	}
	s.sent += int64(s.content)
	s.pending, s.content = s.buf[:0], 0
	return nil
}
