package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http2"

	"portway/proxy/exchange"
)

// tries is how often one exchange is started over HTTP/2: an origin may send
// GOAWAY on a connection just when we take it.
const tries = 2

// stream2 is one exchange over HTTP/2, and the body of its answer.
type stream2 struct {
	watch
	pool   *Pool
	ex     *exchange.Exchange
	cancel context.CancelCauseFunc
	ctx    context.Context
	conn   *conn2
	upload *upload2 // nil: no body
	resp   *http.Response
	ended  bool
	closed atomic.Bool

	interim interim2
	tracer  httptrace.ClientTrace
}

var (
	_ exchange.Body     = (*stream2)(nil)
	_ exchange.DoneFunc = (*stream2)(nil)
	_ exchange.Aborter  = (*stream2)(nil)
)

// roundTrip2 is RoundTrip over HTTP/2, if the origin does not choose HTTP/1.1.
func (p *Pool) roundTrip2(ex *exchange.Exchange) error {
	q := &ex.Request
	if err := validate(q); err != nil {
		return err
	}
	if 0 < q.Length && q.Length <= maxInline {
		// In memory it can be sent again, which GOAWAY makes necessary now and then.
		if r, ok := q.Body.(*replayed); !ok || r.at > 0 {
			content, err := readSmall(nil, q)
			if err != nil {
				return err
			}
			replay(q, content)
		}
	}
	var err error
	for range tries {
		var s *stream2
		if s, err = p.start2(ex); errors.Is(err, errHTTP1) {
			return p.roundTrip1(ex)
		} else if err != nil {
			return err
		}
		if upgrades(q) {
			err = s.connect()
		} else {
			err = s.roundTrip()
		}
		if err == nil {
			return nil
		}
		s.leave()
		if !errors.Is(err, ErrNotProcessed) || ex.Canceled() != nil {
			return err
		}
	}
	return err
}

// start2 puts the exchange on a connection.
func (p *Pool) start2(ex *exchange.Exchange) (*stream2, error) {
	c, err := p.get2(ex)
	if err != nil {
		return nil, err
	}
	s := &stream2{pool: p, ex: ex, conn: c}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	ex.SetAborter(s) // costs less than a context of the exchange's
	p.mu.Lock()
	p.streams2 = append(p.streams2, s)
	p.mu.Unlock()
	ex.OnDone(s)
	return s, nil
}

// Abort ends the stream when the exchange is cancelled.
func (s *stream2) Abort(cause error) { s.cancel(givenUp(cause)) }

// roundTrip sends the request and fills ex.Response.
func (s *stream2) roundTrip() error {
	q := &s.ex.Request
	req := s.request()
	if q.Length != 0 {
		body := q.Body
		if r, ok := body.(*replayed); ok {
			body = &replayed{content: r.content, front: r.front}
		}
		s.upload = &upload2{stream: s, req: req, body: body}
		req.Body = s.upload
		req.ContentLength = q.Length
		if q.Length < 0 {
			// Trailers are known only at the end. An empty map makes x/net ask then.
			req.Trailer = http.Header{}
		}
	}
	resp, err := s.do(req)
	if err != nil {
		return err
	}
	s.fill(resp, resp.StatusCode)
	announced := resp.Header["Content-Length"] != nil
	switch {
	case string(q.Method) == http.MethodHead, resp.StatusCode == http.StatusNoContent:
	case resp.StatusCode == http.StatusNotModified:
		if !announced { // x/net says 0 then
			s.ex.Response.Length = exchange.LengthUnknown
		}
	case resp.ContentLength == 0 && !announced: // the head was all
	default:
		s.ex.Response.Body = s
		return nil
	}
	s.ended = true
	_ = resp.Body.Close()
	return nil
}

// do exchanges heads.
func (s *stream2) do(req *http.Request) (*http.Response, error) {
	if body := req.Body; body != nil && (s.upload == nil || !isReplay(s.upload.body)) {
		// x/net does not see the end of the context while it reads the body.
		context.AfterFunc(s.ctx, func() { _ = body.Close() })
	}
	s.recv.set(awaitHead)
	resp, err := s.conn.cc.RoundTrip(req)
	s.recv.set(ours)
	s.interim.finish()
	if err != nil {
		err = s.explain(err)
		s.cancel(err)
		return nil, err
	}
	s.resp = resp
	return resp, nil
}

// request makes x/net's request of ours.
func (s *stream2) request() *http.Request {
	q := &s.ex.Request
	host := string(q.Authority)
	if host == "" {
		if host = s.pool.name; s.pool.cfg.Network == "unix" {
			host = "localhost"
		}
	}
	scheme := "http"
	if s.pool.cfg.Scheme == "https" {
		scheme = "https"
	}
	// Opaque goes out as it is, but for two slashes, which begin a host.
	path := string(q.Path)
	if strings.HasPrefix(path, "//") {
		path = "//" + host + path
	}
	s.interim.ex = s.ex
	s.tracer.Got1xxResponse = s.interim.got
	req := new(http.Request).WithContext(httptrace.WithClientTrace(s.ctx, &s.tracer))
	req.Method = string(q.Method)
	req.URL = &url.URL{Scheme: scheme, Host: host, Opaque: path, RawQuery: string(q.Query), ForceQuery: q.HasQuery}
	req.Host = host
	req.Header = headerOf(&q.Fields, q.TETrailers)
	return req
}

// headerOf copies fields into a map, as x/net wants them.
func headerOf(fields *exchange.Fields, trailers bool) http.Header {
	n, size := fields.Len(), 0
	for i := range n {
		f := fields.At(i)
		size += len(f.Name) + len(f.Value)
	}
	h := make(http.Header, n+2)
	h["User-Agent"] = nil // or x/net adds one
	values := make([]string, n)
	var all strings.Builder // one piece of memory for all
	all.Grow(size)
	text := func(b []byte) string {
		from := all.Len()
		_, _ = all.Write(b) // never fails
		return all.String()[from:]
	}
	for i := range n {
		f := fields.At(i)
		key := textproto.CanonicalMIMEHeaderKey(text(f.Name))
		values[i] = text(f.Value)
		if h[key] == nil {
			h[key] = values[i : i+1 : i+1]
		} else {
			h[key] = append(h[key], values[i])
		}
	}
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	return h
}

// fill copies the head of the answer into ex.Response.
func (s *stream2) fill(resp *http.Response, status int) {
	r := &s.ex.Response
	r.Fields.Reset()
	addHeader(&r.Fields, resp.Header)
	r.Status = status
	r.Length = resp.ContentLength // -1 is LengthUnknown
	r.Body = nil
}

// addHeader adds end-to-end fields only, ordered by name.
func addHeader(fields *exchange.Fields, h http.Header) {
	names := make([]string, 0, len(h))
	for name := range h {
		if !hopByHop([]byte(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range h[name] {
			fields.AddString(name, value)
		}
	}
}

// Read yields content of the answer.
func (s *stream2) Read(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, errClosed
	}
	if s.ended {
		return 0, io.EOF
	}
	s.recv.set(awaitBody)
	n, err := s.resp.Body.Read(p)
	s.recv.set(ours)
	if atEnd(err) {
		s.ended = true
		addHeader(&s.ex.Response.Trailers, s.resp.Trailer)
		s.ex.Response.Trailers.OnlyTrailers()
		return n, err
	}
	if err != nil {
		err = s.explain(err)
		err = fail(err.Error(), err, io.ErrUnexpectedEOF)
	}
	return n, err
}

// Close gives up what was not read: the stream is reset.
func (s *stream2) Close() error {
	s.closed.Store(true)
	s.cancel(errAbandoned)
	if s.resp != nil {
		return s.resp.Body.Close()
	}
	return nil
}

// Done ends what is left of the exchange. x/net may hold its goroutine for the
// request a little longer, so that is cut off from the exchange.
func (s *stream2) Done(*exchange.Exchange, int64, error) {
	s.cancel(errEnded)
	if s.upload != nil {
		s.upload.detach()
	}
	s.leave()
}

// leave makes room on the connection.
func (s *stream2) leave() {
	p := s.pool
	p.mu.Lock()
	i := slices.Index(p.streams2, s)
	if i >= 0 {
		p.streams2 = slices.Delete(p.streams2, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		p.put2(s.conn)
	}
}

// explain turns errors of x/net into ours.
func (s *stream2) explain(err error) error {
	name := s.pool.name
	if cause := s.ex.Canceled(); cause != nil {
		return givenUp(cause)
	}
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if s.upload != nil {
		if cause := s.upload.failure(); cause != nil {
			return cause
		}
	}
	var (
		stream http2.StreamError
		conn   http2.ConnectionError
		away   goAway2
	)
	text := err.Error()
	untouched := s.upload == nil || !s.upload.touched() || isReplay(s.upload.body)
	switch {
	case errors.As(err, &stream) && stream.Code == http2.ErrCodeRefusedStream, neverSent(text):
		err = fail(name+" did not take the request ("+text+")", err)
		if untouched {
			err = fail(err.Error(), ErrNotProcessed, err)
		}
		return err
	case errors.As(err, &stream) && stream.Cause != nil && stream.Cause.Error() != "received from peer":
		return fail(name+" answered what is not HTTP/2: "+stream.Cause.Error(), ErrProtocol, err)
	case errors.As(err, &stream):
		return fail(fmt.Sprintf("%s reset the stream (%v)", name, stream.Code), err)
	case errors.As(err, &conn):
		return fail(fmt.Sprintf("%s broke HTTP/2 (%v)", name, http2.ErrCode(conn)), ErrProtocol, err)
	case errors.As(err, &away):
		return fail(fmt.Sprintf("%s closed the connection (%v %s)", name, away.ErrCode, away.DebugData), err)
	case strings.Contains(text, "extended connect not supported"):
		return fail(name+" takes no upgrades over HTTP/2 (RFC 8441); set portway.scheme: http if it speaks HTTP/1.1 too", ErrProtocol, err)
	}
	err = fail(name+" broke the connection off ("+system(err)+")", err)
	if s.resp == nil && untouched && safe(s.ex.Request.Method) {
		err = fail(err.Error(), ErrNotProcessed, err)
	}
	return err
}

// neverSent recognises errors of x/net after which it would itself try again. It
// does not export them.
func neverSent(text string) bool {
	switch text {
	case "http2: Transport received Server's graceful shutdown GOAWAY",
		"http2: client conn not usable",
		"http2: client conn could not be established",
		"http2: client conn is closed":
		return true
	}
	return false
}
