package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"portway/proxy/exchange"
	"portway/proxy/h1"
)

const (
	// maxInline is the largest body that is sent in one write with its head.
	maxInline = 16 << 10
	// minHead is the least room for an answer's head, and often its body.
	minHead = 4 << 10
	// What an origin may send ahead of its answer.
	maxHead    = 64 << 10
	maxFields  = 128
	maxInterim = 64
)

var limits = h1.Limits{HeadBytes: maxHead, Fields: maxFields}

// roundTrip1 is RoundTrip over HTTP/1.1.
func (p *Pool) roundTrip1(ex *exchange.Exchange) error {
	s := newStream(p, ex)
	if err := s.prepare(); err != nil {
		return err
	}
	fresh := false
	for {
		c, err := p.get(ex, fresh)
		if err != nil {
			return s.rewind(err)
		}
		used := c.used
		err = s.try(c)
		if err == nil {
			return nil
		}
		s.forgetAnswer()
		switch {
		case errors.Is(err, errStale):
		case !s.again || ex.Canceled() != nil:
			return err
		case !used:
			return s.rewind(fail(err.Error(), ErrNotProcessed, err))
		default:
			fresh = true
		}
	}
}

// prepare writes the request into ex.Head, with its body if that is small, before
// any connection is taken: a slow client keeps none busy.
func (s *stream) prepare() error {
	q := &s.ex.Request
	buf, err := appendRequest(s.ex.Head[:0], q)
	if err != nil {
		return err
	}
	if upgrades(q) {
		buf = s.askWebSocket(buf)
	}
	s.safe = safe(q.Method) && q.Length == 0
	if 0 < q.Length && q.Length <= maxInline {
		if buf, err = readSmall(buf, q); err != nil {
			return err
		}
		s.inline = int(q.Length)
	}
	s.ex.Head = slices.Grow(buf, max(0, minHead-len(buf)))
	return nil
}

// readSmall appends the body, of known length, to buf.
func readSmall(buf []byte, q *exchange.Request) ([]byte, error) {
	n := len(buf)
	buf = slices.Grow(buf, int(q.Length))[:n+int(q.Length)]
	if _, err := io.ReadFull(q.Body, buf[n:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return buf, fmt.Errorf("read the request's body: %w", err)
	}
	return buf, nil
}

// try sends the request over c and reads the head of the answer. With an error,
// s.again tells whether the same request can be sent once more.
func (s *stream) try(c *conn) error {
	s.again = false
	s.conn.Store(c)
	s.ex.SetAborter(c)
	c.recv.set(awaitHead)
	streamed := s.ex.Request.Length != 0 && s.inline == 0
	n, err := c.ask(s.ex.Head, !streamed)
	switch {
	case errors.Is(err, errStale):
		s.drop(errStale)
		return err
	case err != nil:
		// Without TLS, nothing of it has left if nothing was taken.
		s.again = s.safe || n == 0 && c.dry == nil
		return s.failed(c, err, false)
	case streamed:
		s.parts.Store(2)
		s.ex.Go(s.upload)
	}
	return s.receive(c)
}

// receive reads up to the final head. The answer overwrites the request in
// ex.Head, so once a byte of it is there, nothing can be sent again.
func (s *stream) receive(c *conn) error {
	r := &s.ex.Response
	buf := s.ex.Head[:cap(s.ex.Head)]
	filled, interim := 0, 0
	for {
		n, err := c.answer(buf[filled:])
		if n == 0 && err == nil {
			continue
		}
		if err != nil && n == 0 {
			begun := filled > 0 || interim > 0
			s.again = s.safe && !begun
			return s.failed(c, err, begun)
		}
		// Behind the first bytes, only a new line can make a difference.
		news := filled == 0 || bytes.IndexByte(buf[filled:filled+n], '\n') >= 0
		for filled += n; news && filled > 0; {
			used, framing, err := h1.ParseResponseHead(buf[:filled], s.ex.Request.Method, r, limits)
			if err != nil {
				return s.notHTTP(buf[:filled], err)
			}
			if used == 0 {
				break
			}
			if r.Status >= 200 || r.Status == 101 {
				s.ex.Head = buf[:filled]
				return s.answer(c, framing, buf[used:filled])
			}
			if interim++; interim > maxInterim {
				return s.broke(fmt.Sprintf("sent more than %d interim answers", maxInterim), nil)
			}
			if r.Status != 100 && s.ex.Front != nil {
				s.ex.Front.Inform(s.ex, r.Status, &r.Fields)
			}
			s.forgetAnswer()
			filled = copy(buf, buf[used:filled])
			c.recv.set(awaitHead)
		}
		if filled == len(buf) {
			if filled >= maxHead {
				return s.tooLarge(nil)
			}
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// answer fills ex.Response from the final head; rest is what was read behind it.
func (s *stream) answer(c *conn, f h1.Framing, rest []byte) error {
	r := &s.ex.Response
	if r.Status == 101 {
		return s.switched(c, f, rest)
	}
	if r.Status == 400 {
		if hint := hintForTLS(rest); hint != "" {
			return s.broke("does not take plain HTTP; "+hint, nil)
		}
	}
	c.recv.set(ours)
	s.keep = f.KeepAlive
	switch {
	case f.Kind == h1.NoBody:
		s.body.Reset(f, rest, nothing{}, nil, limits)
		s.end()
		if s.conn.Load() != nil {
			// The request is still being sent, and Finish must be able to end that.
			r.Body = s
		}
		return nil
	case f.Kind == h1.FixedLength && int64(len(rest)) >= f.Length:
		// All of it is here, in memory of the exchange: the connection is free for
		// others while the client still takes the answer.
		s.body.Reset(f, rest, nothing{}, nil, limits)
		s.keep = s.keep && int64(len(rest)) == f.Length
		s.finishReceiving()
	default:
		s.body.Reset(f, rest, c, &r.Trailers, limits)
	}
	r.Body = s
	return nil
}

// failed explains why there is no answer, and closes the connection. begun tells
// that a part of one has come.
func (s *stream) failed(c *conn, err error, begun bool) error {
	cause := s.pool.causeOf(c)
	s.drop(errEnded)
	name := s.pool.name
	switch {
	case cause != nil:
		s.again = false
		return cause
	case begun:
		return fail(name+" closed the connection in the middle of an answer's head ("+system(err)+")", ErrProtocol, err)
	case errors.Is(err, io.EOF):
		return fail(name+" closed the connection without an answer", err)
	}
	return fail(name+" broke the connection off without an answer ("+system(err)+")", err)
}

// notHTTP explains what the parser made of what came.
func (s *stream) notHTTP(came []byte, err error) error {
	var syntax *h1.SyntaxError
	if errors.As(err, &syntax) && syntax.Status == http.StatusRequestHeaderFieldsTooLarge {
		return s.tooLarge(err)
	}
	text := "answered what is not HTTP/1.1: " + err.Error()
	if hint := hintFor(came); hint != "" {
		text += "; " + hint
	}
	return s.broke(text, err)
}

func (s *stream) tooLarge(err error) error {
	return s.broke(fmt.Sprintf("sent a head of more than %d KiB or %d fields", maxHead>>10, maxFields), err)
}

// broke says how the origin broke the protocol, and closes the connection.
func (s *stream) broke(what string, cause error) error {
	s.drop(errEnded)
	s.forgetAnswer()
	if cause == nil {
		return fail(s.pool.name+" "+what, ErrProtocol)
	}
	return fail(s.pool.name+" "+what, ErrProtocol, cause)
}

// forgetAnswer leaves ex.Response as RoundTrip found it.
func (s *stream) forgetAnswer() {
	r := &s.ex.Response
	r.Fields.Reset()
	r.Status, r.Length = 0, 0
}

// nothing is the source of a body that is in memory already.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }

// hintFor recognises other protocols by what an origin sends first.
func hintFor(b []byte) string {
	switch {
	case len(b) >= 3 && (b[0] == 0x15 || b[0] == 0x16) && b[1] == 3 && b[2] <= 4:
		return "that was TLS: set portway.scheme: https"
	case len(b) >= 9 && b[0] == 0 && b[3] == 4 && b[4] == 0 && b[5] == 0 && b[8] == 0:
		return "that was an HTTP/2 SETTINGS frame: set portway.scheme: h2c"
	}
	return ""
}

// hintForTLS recognises what TLS servers tell those who speak plain HTTP to them.
func hintForTLS(body []byte) string {
	for _, said := range []string{
		"plain HTTP request was sent to HTTPS port",       // nginx
		"Client sent an HTTP request to an HTTPS server",  // Go
		"speaking plain HTTP to an SSL-enabled server",    // Apache
		"This combination of host and port requires TLS.", // Tomcat
	} {
		if bytes.Contains(body, []byte(said)) {
			return "it wants TLS: set portway.scheme: https"
		}
	}
	return ""
}
