package exchange

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// errResponseUnwanted is what a handler's Write returns when the exchange is over.
var errResponseUnwanted = errors.New("nobody reads the response any more")

// ToHTTP lets a handler of net/http answer exchanges. It costs a goroutine and
// copies of all fields: for libraries, not for the path of every request. The
// handler can stream, flush, use trailers and send interim responses, but not
// hijack the connection.
func ToHTTP(h http.Handler) Handler { return &toHTTP{h} }

type toHTTP struct{ handler http.Handler }

// Serve runs the handler until the head of its response is known, and leaves it
// running for the body.
func (t *toHTTP) Serve(ex *Exchange) {
	r, err := newHTTPRequest(ex)
	if err != nil {
		ex.Response.Status = http.StatusBadRequest
		return
	}
	w := &httpResponse{ex: ex, method: r.Method, header: http.Header{}, head: make(chan struct{})}
	ex.Go(func() { w.run(t.handler, r) })
	<-w.head
	if w.panicked != nil {
		panic(w.panicked)
	}
}

func newHTTPRequest(ex *Exchange) (*http.Request, error) {
	q := &ex.Request
	target := string(q.Path)
	if q.HasQuery {
		target += "?" + string(q.Query)
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, err
	}
	r := &http.Request{
		Method: string(q.Method), URL: u, RequestURI: target, Host: string(q.Authority),
		Header: http.Header{}, ContentLength: q.Length, Body: http.NoBody,
	}
	q.Fields.CopyHTTP(r.Header)
	ctx := ex.Context()
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if c := ex.Conn; c != nil {
		r.RemoteAddr, r.TLS = c.Remote.String(), c.TLS
		ctx = context.WithValue(ctx, http.LocalAddrContextKey, net.Addr(net.TCPAddrFromAddrPort(c.Local)))
		r.Proto = c.Protocol.String()
		r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(r.Proto)
	}
	if q.TETrailers {
		r.Header["Te"] = []string{"trailers"}
	}
	if q.Body != nil {
		r.Trailer = http.Header{}
		r.Body = &requestBody{q, r.Trailer}
	}
	return r.WithContext(ctx), nil
}

// requestBody hands on trailers at the end.
type requestBody struct {
	request *Request
	trailer http.Header
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.request.Body.Read(p)
	if err == io.EOF && len(b.trailer) == 0 {
		b.request.Trailers.CopyHTTP(b.trailer)
	}
	return n, err
}

func (b *requestBody) Close() error { return b.request.Body.Close() }

// headBuffer is how much content is held back to learn its length.
const headBuffer = 4 << 10

// httpResponse is the ResponseWriter of ToHTTP. Until the head is known, only
// the handler's goroutine uses it; after that, only body is shared.
type httpResponse struct {
	ex       *Exchange
	method   string
	header   http.Header
	status   int
	fields   http.Header // header as it was at WriteHeader
	buffered []byte

	once     sync.Once
	head     chan struct{} // closed when ex.Response is filled
	pipe     *io.PipeWriter
	panicked any
}

var (
	_ http.ResponseWriter = (*httpResponse)(nil)
	_ http.Flusher        = (*httpResponse)(nil)
)

func (w *httpResponse) Header() http.Header { return w.header }

func (w *httpResponse) WriteHeader(status int) {
	switch {
	case w.status != 0:
		return
	case status > 101 && status < 200:
		if w.ex.Front != nil {
			var f Fields
			f.AddHTTP(w.header)
			w.ex.Front.Inform(w.ex, status, &f)
		}
		return
	}
	w.status = status
	w.fields = w.header.Clone()
}

func (w *httpResponse) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.pipe == nil && len(w.buffered)+len(p) <= headBuffer {
		w.buffered = append(w.buffered, p...)
		return len(p), nil
	}
	w.commit(false)
	if w.method == http.MethodHead {
		return len(p), nil
	}
	return w.pipe.Write(p)
}

// Flush gives what there is to the client.
func (w *httpResponse) Flush() {
	w.WriteHeader(http.StatusOK)
	w.commit(false)
}

// commit fills in the response; complete says that what is buffered is all.
func (w *httpResponse) commit(complete bool) {
	w.once.Do(func() {
		p := &w.ex.Response
		p.Status = w.status
		if len(w.buffered) > 0 && len(w.fields["Content-Type"]) == 0 && len(w.fields["Content-Encoding"]) == 0 {
			w.fields.Set("Content-Type", http.DetectContentType(w.buffered))
		}
		p.Length = LengthUnknown
		if length := w.fields.Get("Content-Length"); length != "" {
			if n, err := strconv.ParseInt(length, 10, 64); err == nil && n >= 0 {
				p.Length = n
			}
		} else if complete && len(w.trailers()) == 0 && (w.method != http.MethodHead || len(w.buffered) > 0) {
			p.Length = int64(len(w.buffered))
		}
		p.Fields.AddHTTP(w.fields)
		switch {
		case w.method == http.MethodHead:
		case complete && len(w.trailers()) == 0:
			if len(w.buffered) > 0 {
				p.Body = BytesBody(w.buffered)
			}
		default:
			var r *io.PipeReader
			r, w.pipe = io.Pipe()
			p.Body = &pipeBody{bytesBody{w.buffered}, r}
		}
		close(w.head)
	})
}

// run calls the handler and ends the response.
func (w *httpResponse) run(h http.Handler, r *http.Request) {
	defer func() {
		v := recover()
		select {
		case <-w.head: // too late for an answer
			if v != nil && w.pipe != nil {
				_ = w.pipe.CloseWithError(io.ErrUnexpectedEOF)
			}
			if v != nil && !isAbort(v) {
				panic(v) // Exchange.Go cancels the exchange
			}
		default:
			if w.panicked = v; !isAbort(v) {
				w.panicked = NewPanicError(v)
			}
			close(w.head)
		}
	}()
	h.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	w.commit(true)
	if w.pipe != nil {
		w.ex.Response.Trailers.AddHTTP(w.trailers())
		_ = w.pipe.Close()
	}
}

// isAbort tells a panic that only cuts off the response from others.
func isAbort(v any) bool {
	err, ok := v.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// trailers are those fields that the handler declared or prefixed as such.
func (w *httpResponse) trailers() http.Header {
	t := http.Header{}
	for _, line := range w.fields["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if v := w.header[name]; len(v) > 0 {
				t[name] = v
			}
		}
	}
	for name, v := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			t[name] = v
		}
	}
	return t
}

// AddHTTP adds the end-to-end fields of h, in the order of their names.
func (f *Fields) AddHTTP(h http.Header) {
	named := connectionOptions(h)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if dropped(name, named) || strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		for _, v := range h[name] {
			f.AddString(name, v)
		}
	}
}

// pipeBody yields what was held back, and then what the handler writes.
type pipeBody struct {
	bytesBody
	pipe *io.PipeReader
}

var _ Body = (*pipeBody)(nil)

func (b *pipeBody) Read(p []byte) (int, error) {
	if len(b.rest) > 0 {
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		return n, nil
	}
	return b.pipe.Read(p)
}

func (b *pipeBody) Close() error { return b.pipe.CloseWithError(errResponseUnwanted) }
