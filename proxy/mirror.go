package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
)

// Mirrored requests must not harm the others, so there are limits to them.
const (
	maxMirrored   = 256              // in flight, for each mirror
	maxMirrorBody = 64 << 10         // of a request; one with more is not mirrored
	mirrorTime    = 30 * time.Second // for the mirror to answer, to the end
)

// mirror gets copies of requests; what it answers is discarded. It outlives tables.
type mirror struct {
	server   *Server
	name     string // of the route
	inFlight atomic.Int64

	busy, large, failing tally
}

var _ exchange.Front = (*mirror)(nil)

// Inform does nothing: nobody hears of it.
func (m *mirror) Inform(*exchange.Exchange, int, *exchange.Fields) {}

// copy has handler serve a copy of ex some time. It does not wait, and ex is as it
// was before, but that its body is read by way of the copy.
func (m *mirror) copy(ex *exchange.Exchange, handler exchange.Handler) {
	q := &ex.Request
	switch {
	case len(q.Upgrade) > 0: // a conversation cannot be had twice
		return
	case q.Length > maxMirrorBody:
		m.skip(&m.large)
		return
	case m.inFlight.Add(1) > maxMirrored:
		m.inFlight.Add(-1)
		m.skip(&m.busy)
		return
	}
	c := &copied{mirror: m, handler: handler, conn: *ex.Conn}
	c.take(ex)
	if q.Body == nil {
		m.server.mirrors.run(c)
		return
	}
	t := &tee{Body: q.Body, copy: c, trailers: &q.Trailers}
	q.Body = t
	ex.OnDone(t)
}

// skip notes that a request was not mirrored.
func (m *mirror) skip(why *tally) {
	n := why.note(time.Now())
	if n == 0 {
		return
	}
	switch why {
	case &m.large:
		m.server.logger.Info("requests are not mirrored, since their bodies are larger than 64 KiB", "mirror", m.name, "requests", n)
	default:
		m.server.logger.Warn("requests are not mirrored, since the mirror is too slow for so many", "mirror", m.name, "requests", n, "in flight", maxMirrored)
	}
}

// failed notes that the mirror did not answer.
func (m *mirror) failed(cause error) {
	if n := m.failing.note(time.Now()); n > 0 {
		m.server.logger.Warn("the mirror gives no answer; visitors do not notice", "mirror", m.name, "requests", n, "error", cause)
	}
}

// tally counts what is logged once a minute at most.
type tally struct {
	unsaid atomic.Int64
	said   atomic.Int64 // when, in Unix nanoseconds
}

// note counts one, and gives how many are to be logged now.
func (t *tally) note(now time.Time) int64 {
	t.unsaid.Add(1)
	said := t.said.Load()
	if said != 0 && now.UnixNano()-said < int64(time.Minute) || !t.said.CompareAndSwap(said, now.UnixNano()) {
		return 0
	}
	return t.unsaid.Swap(0)
}

// copied is a request with memory of its own.
type copied struct {
	mirror   *mirror
	handler  exchange.Handler
	conn     exchange.Conn
	request  exchange.Request
	clientIP netip.Addr
	scheme   string
	body     []byte
}

// take copies the request's head.
func (c *copied) take(ex *exchange.Exchange) {
	from, to := &ex.Request, &c.request
	c.clientIP, c.scheme = ex.ClientIP, ex.Scheme
	to.Method, to.Authority = bytes.Clone(from.Method), bytes.Clone(from.Authority)
	to.Path, to.Query, to.HasQuery = bytes.Clone(from.Path), bytes.Clone(from.Query), from.HasQuery
	to.Length, to.TETrailers = from.Length, from.TETrailers
	copyFields(&to.Fields, &from.Fields)
}

func copyFields(to, from *exchange.Fields) {
	for name, value := range from.All() {
		to.Add(bytes.Clone(name), bytes.Clone(value))
	}
}

// serve has the mirror answer.
func (c *copied) serve(ctx context.Context) {
	ex := exchange.Get()
	ex.Conn, ex.Front, ex.Start = &c.conn, c.mirror, time.Now()
	ex.ClientIP, ex.Scheme = c.clientIP, c.scheme
	ex.Request = c.request
	if ex.Request.Length != 0 {
		ex.Request.Body = exchange.BytesBody(c.body)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, mirrorTime, errMirrorSlow)
	defer cancel()
	canceled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(canceled)
		ex.Cancel(context.Cause(ctx))
	})
	err := c.answer(ex)
	if !stop() {
		<-canceled // nothing may touch ex after Finish
	}
	if cause := ex.Canceled(); errors.Is(cause, errMirrorSlow) {
		c.mirror.failed(cause)
	} else if err != nil && cause == nil {
		c.mirror.failed(err)
	}
	ex.Finish(0, err)
	exchange.Put(ex)
}

// answer reads what the mirror answers, to its end.
func (c *copied) answer(ex *exchange.Exchange) (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.mirror.server.logPanic(ex, exchange.NewPanicError(v))
		}
	}()
	ex.RouteName = c.mirror.name
	c.handler.Serve(ex)
	if b := ex.Response.Body; b != nil {
		_, err = io.Copy(io.Discard, b)
	}
	return err
}

var errMirrorSlow = errors.New("the mirror took too long")

// tee is a request's body that is copied while it is read.
type tee struct {
	exchange.Body
	trailers *exchange.Fields

	mu   sync.Mutex
	copy *copied // nil: it is on its way, or given up
}

var (
	_ exchange.Body     = (*tee)(nil)
	_ exchange.DoneFunc = (*tee)(nil)
)

// Read reads from the client. With the end of the body, the copy is complete.
func (t *tee) Read(p []byte) (int, error) {
	n, err := t.Body.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.copy
	switch {
	case c == nil:
	case len(c.body)+n > maxMirrorBody:
		t.giveUp()
		c.mirror.skip(&c.mirror.large)
	default:
		c.body = append(c.body, p[:n]...)
		if err == io.EOF {
			t.copy = nil
			copyFields(&c.request.Trailers, t.trailers)
			c.mirror.server.mirrors.run(c)
		}
	}
	return n, err
}

func (t *tee) giveUp() {
	t.copy.mirror.inFlight.Add(-1)
	t.copy = nil
}

// Done gives the copy up if nobody has read all of the body.
func (t *tee) Done(*exchange.Exchange, int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.copy != nil {
		t.giveUp()
	}
}

// mirrors are the copies on their way.
type mirrors struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (m *mirrors) init() { m.ctx, m.cancel = context.WithCancel(context.Background()) }

// run serves a copy on a goroutine of its own. What the visitor does is of no
// consequence to it.
func (m *mirrors) run(c *copied) {
	m.running.Go(func() {
		defer c.mirror.inFlight.Add(-1)
		c.serve(m.ctx)
	})
}

// close ends all copies.
func (m *mirrors) close() {
	m.cancel()
	m.running.Wait()
}
