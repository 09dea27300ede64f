package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FromHTTP makes h a handler of net/http's server, for HTTP/1.1 and HTTP/2, or of
// quic-go's, for HTTP/3. idle is the longest silence of a client that has to send
// the rest of a body or to take what we write; 0 means no limit. A request of
// HTTP/2 or 3 without a length may be silent: it can be one direction of a
// conversation, as in gRPC.
//
// A response that ends in an error is cut off, by closing the connection or
// resetting the stream, so that the client does not take it for complete. The
// server's DisableGeneralOptionsHandler should be set, or "OPTIONS *" does not
// come here.
func FromHTTP(h Handler, idle time.Duration) http.Handler {
	return &fromHTTP{h, idle}
}

type fromHTTP struct {
	handler Handler
	idle    time.Duration
}

// errPanicked is what OnDone is told when the handler panicked.
var errPanicked = errors.New("the handler panicked")

func (f *fromHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ex := Get()
	x := &httpExchange{w: w, r: r, ex: ex, control: *http.NewResponseController(w), idle: f.idle}
	x.fill(ex)
	stop := context.AfterFunc(r.Context(), x.clientGone)
	err := errPanicked
	defer func() {
		if !stop() {
			x.over()
		}
		ex.Finish(x.sent, err)
		if x.body != nil && !x.body.ended() {
			// What net/http still reads before it closes must not take for ever.
			_ = x.control.SetReadDeadline(time.Now().Add(lingerTime))
		}
		Put(ex)
	}()
	f.handler.Serve(ex)
	if err = x.answer(ex); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// clientGone cancels the exchange, unless it is over.
func (x *httpExchange) clientGone() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ex != nil {
		x.ex.Cancel(ErrClientGone)
	}
}

// over returns when clientGone does nothing any more.
func (x *httpExchange) over() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ex = nil
}

// connKey is the context key of WithConn.
type connKey struct{}

// WithConn returns a context for the requests of a connection, so that FromHTTP
// need not find out about it with each request.
func WithConn(ctx context.Context, c *Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// lingerTime is how long a client that still uploads may take to notice that
// its request has been answered.
const lingerTime = 2 * time.Second

// httpExchange is the Front of one request through net/http.
type httpExchange struct {
	w       http.ResponseWriter
	r       *http.Request
	control http.ResponseController
	idle    time.Duration
	body    *httpBody
	conn    *Conn
	sent    int64
	armed   time.Time // when the write deadline was set

	mu sync.Mutex
	ex *Exchange // nil when it is over
}

var _ Front = (*httpExchange)(nil)

// fill makes the request of ex from r.
func (x *httpExchange) fill(ex *Exchange) {
	r, q := x.r, &ex.Request
	ex.Start = time.Now()
	ex.Front = x
	x.conn = connOf(r)
	ex.Conn = x.conn

	q.Method = bytesOf(r.Method)
	q.Authority = bytesOf(r.Host)
	path, query, hasQuery := strings.Cut(requestTarget(r), "?")
	q.Path, q.Query, q.HasQuery = bytesOf(path), bytesOf(query), hasQuery
	h1 := r.ProtoMajor == 1
	named := connectionOptions(r.Header)
	for name, values := range r.Header {
		if dropped(name, named) {
			continue
		}
		for _, value := range values {
			q.Fields.AddString(name, value)
		}
	}
	for _, te := range r.Header["Te"] {
		q.TETrailers = q.TETrailers || hasToken(te, "trailers")
	}
	if up := r.Header["Upgrade"]; len(up) > 0 && x.conn.Protocol == HTTP11 && containsFold(named, "upgrade") {
		q.Upgrade = bytesOf(strings.Join(up, ", "))
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	x.body = &httpBody{x: x, ex: ex, h1: h1}
	if h1 || r.ContentLength > 0 {
		x.body.idle = x.idle
	}
	switch {
	case x.extendedConnect():
		q.Upgrade, q.Method = bytesOf(r.Proto), bytesOf(http.MethodGet)
	case x.body.empty():
		x.body = nil
	default:
		q.Length, q.Body = r.ContentLength, x.body
	}
}

// connOf tells about the connection of r.
func connOf(r *http.Request) *Conn {
	if c, ok := r.Context().Value(connKey{}).(*Conn); ok {
		return c
	}
	c := &Conn{TLS: r.TLS, Protocol: protocolOf(r)}
	c.Remote, _ = netip.ParseAddrPort(r.RemoteAddr)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ AddrPort() netip.AddrPort }); ok {
		c.Local = local.AddrPort()
	}
	return c
}

// extendedConnect tells whether the request asks for another protocol on its
// stream (RFC 9220). net/http's HTTP/2 does not offer that.
func (x *httpExchange) extendedConnect() bool {
	return x.r.ProtoMajor == 3 && x.r.Method == http.MethodConnect && x.r.Proto != "HTTP/3.0"
}

func protocolOf(r *http.Request) Protocol {
	switch {
	case r.ProtoMajor == 3:
		return HTTP3
	case r.ProtoMajor == 2:
		return HTTP2
	case r.ProtoAtLeast(1, 1):
		return HTTP11
	}
	return HTTP10
}

// requestTarget is the path and query as sent; that of a target in absolute
// form (RFC 9112 section 3.2.2) without scheme and authority.
func requestTarget(r *http.Request) string {
	target := r.RequestURI
	if r.Method == http.MethodConnect && r.ProtoMajor == 1 || strings.HasPrefix(target, "/") || target == "*" {
		return target
	}
	if _, rest, ok := strings.Cut(target, "://"); ok {
		switch i := strings.IndexAny(rest, "/?"); {
		case i < 0:
			return "/"
		case rest[i] == '?':
			return "/" + rest[i:]
		default:
			return rest[i:]
		}
	}
	return target
}

// connectionOptions lists what Connection names.
func connectionOptions(h http.Header) []string {
	var named []string
	for _, line := range h["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if option = strings.TrimSpace(option); option != "" {
				named = append(named, option)
			}
		}
	}
	return named
}

// dropped tells whether a field is not end-to-end (RFC 9110 section 7.6.1), or
// part of the framing.
func dropped(name string, named []string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Te", "Trailer",
		"Transfer-Encoding", "Content-Length", "Expect", "Host":
		return true
	}
	return containsFold(named, name)
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

func hasToken(list, token string) bool {
	for t := range strings.SplitSeq(list, ",") {
		t, _, _ = strings.Cut(t, ";")
		if strings.EqualFold(strings.TrimSpace(t), token) {
			return true
		}
	}
	return false
}

// Inform sends an interim response.
func (x *httpExchange) Inform(_ *Exchange, status int, fields *Fields) {
	if x.conn.Protocol == HTTP10 || status <= 101 || status > 199 {
		return
	}
	x.arm()
	h := x.w.Header()
	fields.CopyHTTP(h)
	x.w.WriteHeader(status)
	clear(h)
}

// answer writes the response of ex. An error means that it is incomplete.
func (x *httpExchange) answer(ex *Exchange) error {
	p := &ex.Response
	if p.Status == http.StatusSwitchingProtocols {
		return x.switchProtocols(ex)
	}
	if p.Status < 200 || p.Status > 999 {
		return fmt.Errorf("the handler gave no valid status: %d", p.Status)
	}
	h := x.w.Header()
	p.Fields.CopyHTTP(h)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http guesses one
	}
	if p.Length >= 0 && (p.Length > 0 || p.Body != nil || x.r.ProtoMajor == 1) {
		h["Content-Length"] = []string{strconv.FormatInt(p.Length, 10)}
	}
	if x.body != nil && !x.body.ended() && x.r.ProtoMajor == 1 {
		// An early answer: the rest of the request is not waited for, so nothing can
		// follow it on this connection.
		h["Connection"] = []string{"close"}
		_ = x.control.EnableFullDuplex()
	}
	x.arm()
	x.w.WriteHeader(p.Status)
	if p.Body == nil || x.r.Method == http.MethodHead {
		return nil
	}
	return x.writeBody(ex)
}

// writeBody streams the content: what one Read yields is flushed at once,
// unless there is more at hand or that was all.
func (x *httpExchange) writeBody(ex *Exchange) error {
	p := &ex.Response
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	ready, _ := p.Body.(Buffered)
	flushed := false
	for {
		if !flushed && (ready == nil || ready.Buffered() == 0) && x.sent != p.Length {
			x.arm()
			if err := x.control.Flush(); err != nil {
				return clientGone(err)
			}
			flushed = true
		}
		n, err := p.Body.Read(buf[:])
		if n > 0 {
			x.arm()
			if _, err := x.w.Write(buf[:n]); err != nil {
				return clientGone(err)
			}
			x.sent += int64(n)
			flushed = false
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			if cause := ex.Canceled(); cause != nil {
				return cause
			}
			return err
		}
	}
	if p.Length >= 0 && x.sent != p.Length {
		return fmt.Errorf("%w: %d bytes of %d", io.ErrUnexpectedEOF, x.sent, p.Length)
	}
	if p.Trailers.Len() > 0 {
		if err := x.control.Flush(); err != nil { // without it, net/http sends a length instead of trailers
			return clientGone(err)
		}
		h := x.w.Header()
		for name, value := range p.Trailers.All() {
			key := http.TrailerPrefix + http.CanonicalHeaderKey(string(name))
			h[key] = append(h[key], string(value))
		}
	}
	return nil
}

// arm gives the client idle time from now on to take what we write. It is not
// done again for each write, since it costs.
func (x *httpExchange) arm() {
	if x.idle <= 0 {
		return
	}
	if now := time.Now(); now.Sub(x.armed) > x.idle/4 {
		x.armed = now
		_ = x.control.SetWriteDeadline(now.Add(x.idle))
	}
}

func clientGone(err error) error { return fmt.Errorf("%w: %w", ErrClientGone, err) }

// CopyHTTP adds copies of all fields to h.
func (f *Fields) CopyHTTP(h http.Header) {
	for name, value := range f.All() {
		key := http.CanonicalHeaderKey(string(name))
		h[key] = append(h[key], string(value))
	}
}

const bufferSize = 32 << 10

// buffers holds memory for copying bodies.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}
