// Package exchange holds the one type that routing, middleware and forwarding
// work on: a request and its answer, the same for HTTP/1.1, HTTP/2 and HTTP/3.
//
// A front (the server side of a protocol) fills Request, calls a Handler, and
// when the Handler has returned, writes Response to the client: first the head,
// then what Response.Body yields. So a middleware works on the request before it
// calls the next Handler and on the response after that, on plain fields, and
// wraps a Body where it wants to change one.
//
// Everything reachable from an Exchange is pooled memory: byte slices are valid
// until the front calls Finish, must not be written to, and are copied (for
// example by string(b)) by whoever keeps them longer.
package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"
)

// Handler answers an exchange by filling ex.Response. It returns as soon as the
// head is known; the body is streamed afterwards by the front.
type Handler interface {
	Serve(ex *Exchange)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ex *Exchange)

// Serve calls f.
func (f HandlerFunc) Serve(ex *Exchange) { f(ex) }

// Body is the content of a message as a stream without any framing. Read
// returns io.EOF only at the true end of the content, any other error where the
// message was cut off. Trailers of the message are complete once Read has
// returned io.EOF.
type Body interface {
	io.Reader
	// Close gives up what was not read. It may be called at any time, more than
	// once and from any goroutine, and makes a blocked Read return.
	Close() error
}

// Buffered is what a Body may offer too: how many bytes are at hand, so that the
// next Read yields them without waiting. A front sends a head and what is at hand
// in one write; without Buffered, or where it says 0, the head is sent at once.
type Buffered interface {
	Buffered() int
}

// Splicer is what a Body may offer too whose content comes from a TCP socket as it
// is: the kernel can move it on to another socket without copying it to us.
type Splicer interface {
	// Splice moves up to limit bytes of content to dst, fewer if the source pauses.
	// ok is false, and nothing has happened, where that cannot be done; Read goes on
	// in either case. err is as in Read, or tells that dst takes no more.
	Splice(dst *net.TCPConn, limit int64) (n int64, ok bool, err error)
}

// Tunnel is what an exchange turns into after a successful upgrade: raw bytes in
// both directions.
type Tunnel interface {
	io.ReadWriteCloser
	// CloseWrite ends our direction only.
	CloseWrite() error
}

// LengthUnknown says that a body is there and ends where it ends.
const LengthUnknown = -1

// Request is the request as the client sent it. Fields hold end-to-end fields
// only: Host, framing (Content-Length, Transfer-Encoding, Trailer, TE, Expect)
// and connection-specific fields (Connection and what it names, Keep-Alive,
// Proxy-Connection, Upgrade) are consumed by the front and show up as the typed
// members below.
type Request struct {
	Method    []byte // as sent, case kept
	Authority []byte // the Host field or :authority as sent, perhaps with a port; validated by the front
	Path      []byte // absolute path as sent, percent-encoding kept, without query; "*" only with OPTIONS
	Query     []byte // without "?"
	HasQuery  bool   // tells "/?" from "/"
	Fields    Fields
	Length    int64 // of the body; 0: no body; LengthUnknown
	// Body is nil if there is no content. The first Read sends 100 Continue where
	// the client waits for it. Reads after the exchange has ended fail.
	Body Body
	// Trailers are complete once Body returned io.EOF.
	Trailers Fields
	// TETrailers says that the client accepts trailers (TE: trailers).
	TETrailers bool
	// Upgrade is the protocol that the client wants to switch to ("websocket"), by
	// Upgrade in HTTP/1.1 or extended CONNECT (RFC 8441) in HTTP/2; nil if none. For
	// extended CONNECT, Method is given as "GET".
	Upgrade []byte
}

// Response is the answer, filled in by Handlers. As in Request, Fields are
// end-to-end fields; the front writes framing by Length, Body and Trailers.
type Response struct {
	Status int // final status code, or 101 together with Tunnel
	Fields Fields
	// Length is the value for Content-Length: that of Body, or for an answer to
	// HEAD and a 304 what it would be. LengthUnknown leaves it out.
	Length int64
	Body   Body // nil: no content
	// Trailers are complete once Body returned io.EOF.
	Trailers Fields
	// Tunnel, with Status 101, is the origin's side of an accepted upgrade; the
	// front copies both ways until both are done. Over HTTP/2 the front turns the 101 into 200.
	Tunnel Tunnel
}

// Clear drops what a Handler has filled in, so that another answer can take its
// place: it closes Body and Tunnel.
func (p *Response) Clear() {
	if p.Body != nil {
		_ = p.Body.Close()
	}
	if p.Tunnel != nil {
		_ = p.Tunnel.Close()
	}
	p.Fields.Reset()
	p.Trailers.Reset()
	*p = Response{Fields: p.Fields, Trailers: p.Trailers}
}

// Front is what a Handler may ask of the protocol server during an exchange.
type Front interface {
	// Inform sends an interim (1xx) response other than 100 and 101 at once. A front
	// whose client cannot take it (HTTP/1.0) does nothing.
	Inform(ex *Exchange, status int, fields *Fields)
}

// ErrClientGone is the cause of cancellation when the client went away.
var ErrClientGone = errors.New("client closed the connection")

// ErrClientSlow is wrapped by the errors of a Request.Body whose client was
// silent for too long.
var ErrClientSlow = errors.New("client too slow")

// Exchange is one request and its answer.
type Exchange struct {
	Request  Request
	Response Response
	Conn     *Conn
	Front    Front     // may be nil in tests
	Start    time.Time // when the head of the request was complete
	// ClientIP is the client's address as far as it can be trusted: the peer's, or
	// what trusted proxies report. Set before any middleware runs.
	ClientIP netip.Addr
	// Scheme is what the client itself used, http or https, as far as that can be trusted.
	// Set before any middleware runs.
	Scheme string
	// Trusted says that the peer is a trusted proxy. Set before anybody sees the exchange.
	Trusted bool
	// RouteName names the route for logs; empty if none matched. RouteID is its ID.
	RouteName, RouteID string
	// Relayed says that the request had fields of a proxy that is not trusted, which
	// are gone.
	Relayed bool
	// Upstream names the replica that answered, or failed last; empty if none was asked.
	Upstream string
	// UpstreamTime is how long it took to begin its answer, or to fail.
	UpstreamTime time.Duration
	// Trace is the trace that the request is part of, if it is recorded.
	Trace Trace
	// Failure is what a middleware could not do, so that it had to answer itself; for
	// the log only.
	Failure error
	// Identified says that middleware has told the origin, by fields of the request,
	// who the visitor is. What caches may do with the answer is then as with a field
	// Authorization (RFC 9111 section 3.5).
	Identified bool
	// Unanswered says that the response is our own, since no origin could be reached, or
	// none has given an answer.
	Unanswered bool

	// Memory is for whoever needs bytes as long as the exchange lives: append to
	// it and slice the result. Growth leaves earlier slices valid.
	Memory []byte
	// Head is the buffer that upstream responses are read into; see package upstream.
	Head []byte

	asked   Asked    // see Rewriting; no Path: not rewritten
	id      [16]byte // hex request ID, made at first need
	hasID   bool
	done    []DoneFunc
	working sync.WaitGroup // goroutines of Go

	mu       sync.Mutex
	canceled error
	finished bool
	ctx      context.Context // made only when asked for
	cancel   context.CancelCauseFunc

	aborting sync.Mutex // held during Abort
	aborter  Aborter
}

// DoneFunc is called when an exchange is over: err is nil if the response was
// written completely, sent counts bytes of content that were given to the client.
type DoneFunc interface {
	Done(ex *Exchange, sent int64, err error)
}

// Aborter can be interrupted from another goroutine, for example by closing its
// connection. Abort must not wait for anything, nor call SetAborter.
type Aborter interface {
	Abort(cause error)
}

// OnDone has d called once when the exchange is over, last registered first.
func (ex *Exchange) OnDone(d DoneFunc) { ex.done = append(ex.done, d) }

// Go runs f in a goroutine that Finish waits for. f must return soon after
// Request.Body and Response.Body are closed and Context has ended. A panic in f
// does not end the process but cancels the exchange with a *PanicError.
func (ex *Exchange) Go(f func()) {
	ex.working.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				ex.Cancel(NewPanicError(v))
			}
		}()
		f()
	})
}

// PanicError is what a panic is turned into: the cause of cancellation if it was
// in a function of Go.
type PanicError struct {
	Value any
	Stack []byte
}

// NewPanicError makes one of what recover returned, in the deferred function that
// called it. A *PanicError is returned as it is, with the stack it came with.
func NewPanicError(recovered any) *PanicError {
	if p, ok := recovered.(*PanicError); ok {
		return p
	}
	return &PanicError{Value: recovered, Stack: debug.Stack()}
}

// Error gives the value that was panicked with, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// SetAborter names who is to be interrupted if the exchange is cancelled; nil
// ends that. If the exchange is cancelled already, a is aborted at once. The
// Aborter named before is not being called, nor will be, once SetAborter has
// returned: a connection can go back to its pool after SetAborter(nil), provided
// that Canceled is nil then.
func (ex *Exchange) SetAborter(a Aborter) {
	ex.aborting.Lock()
	defer ex.aborting.Unlock()
	ex.aborter = a
	if a == nil {
		return
	}
	if cause := ex.Canceled(); cause != nil {
		ex.aborter = nil
		a.Abort(cause)
	}
}

// Cancel tells whoever works on the exchange to stop. The first cause counts.
// Fronts call it when the client goes away, and never after Finish.
func (ex *Exchange) Cancel(cause error) {
	ex.mu.Lock()
	if ex.canceled != nil {
		ex.mu.Unlock()
		return
	}
	ex.canceled = cause
	cancel := ex.cancel
	ex.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
	ex.aborting.Lock()
	defer ex.aborting.Unlock()
	if a := ex.aborter; a != nil {
		ex.aborter = nil
		a.Abort(cause)
	}
}

// Canceled returns the cause of cancellation, nil while the exchange is wanted.
func (ex *Exchange) Canceled() error {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	return ex.canceled
}

// Context returns a context that ends when the exchange is cancelled or
// finished. It allocates: for libraries that need one.
func (ex *Exchange) Context() context.Context {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if ex.ctx == nil {
		ex.ctx, ex.cancel = context.WithCancelCause(context.Background())
		if ex.canceled != nil {
			ex.cancel(ex.canceled)
		} else if ex.finished {
			ex.cancel(context.Canceled)
		}
	}
	return ex.ctx
}

// Finish ends the exchange: both bodies are closed, Context ends, goroutines of
// Go are waited for, and the functions of OnDone called. Fronts call it exactly
// once, after the response was written or given up.
func (ex *Exchange) Finish(sent int64, err error) {
	if ex.Response.Body != nil {
		_ = ex.Response.Body.Close()
	}
	if ex.Request.Body != nil {
		_ = ex.Request.Body.Close()
	}
	ex.mu.Lock()
	ex.finished = true
	cancel := ex.cancel
	ex.mu.Unlock()
	if cancel != nil {
		cancel(context.Canceled)
	}
	ex.working.Wait()
	for i := len(ex.done) - 1; i >= 0; i-- {
		ex.done[i].Done(ex, sent, err)
	}
	ex.SetAborter(nil)
}

// pool recycles exchanges with their memory.
var pool = sync.Pool{New: func() any {
	return &Exchange{Memory: make([]byte, 0, 512)}
}}

// Get returns an empty Exchange.
func Get() *Exchange { return pool.Get().(*Exchange) }

// Put recycles ex, after Finish. Nobody may use it, or slices from it, any more.
func Put(ex *Exchange) {
	ex.reset()
	pool.Put(ex)
}

// Place tells exchanges apart, for whoever counts or collects something in several places:
// those that one processor has served of late mostly come back to it, so that it
// shares such a place with no other. It says nothing else.
func (ex *Exchange) Place() uintptr { return uintptr(unsafe.Pointer(ex)) / unsafe.Sizeof(*ex) }

// maxKept bounds the buffers that stay with a recycled Exchange.
const maxKept = 64 << 10

func (ex *Exchange) reset() {
	q, p := &ex.Request, &ex.Response
	q.Fields.Reset()
	q.Trailers.Reset()
	p.Fields.Reset()
	p.Trailers.Reset()
	*q = Request{Fields: q.Fields, Trailers: q.Trailers}
	*p = Response{Fields: p.Fields, Trailers: p.Trailers}
	ex.Conn, ex.Front, ex.RouteName, ex.RouteID, ex.Failure = nil, nil, "", "", nil
	ex.Upstream, ex.UpstreamTime, ex.Trace = "", 0, Trace{}
	ex.Start, ex.ClientIP, ex.Scheme, ex.asked = time.Time{}, netip.Addr{}, "", Asked{}
	ex.hasID, ex.finished, ex.Identified, ex.Unanswered, ex.Relayed, ex.Trusted = false, false, false, false, false, false
	clear(ex.done)
	ex.done = ex.done[:0]
	ex.canceled, ex.aborter, ex.ctx, ex.cancel = nil, nil, nil, nil
	if ex.Memory = ex.Memory[:0]; cap(ex.Memory) > maxKept {
		ex.Memory = nil
	}
	if ex.Head = ex.Head[:0]; cap(ex.Head) > maxKept {
		ex.Head = nil
	}
}
