package h2

import (
	"sync"
	"sync/atomic"
	"time"

	"portway/proxy/exchange"
)

// stream is one request and its answer.
type stream struct {
	c    *conn
	id   uint32
	ex   *exchange.Exchange
	in   inbox
	body *requestBody // nil if there is no content
	wake sync.Cond    // tells a blocked sender that things have changed; with c.mu

	// refs counts the connection (while the stream is in its map), the handler's
	// goroutine, and the reader while it works on the stream.
	refs     atomic.Int32
	finished atomic.Bool  // the exchange is over
	half     atomic.Int64 // coarse time when a tunnel that is closed in one direction last did something; 0: it is not

	status   int       // to refuse the request with; 0: it is in order
	reason   string    // and why
	head     bool      // HEAD: the answer has no content
	tunnel   bool      // extended CONNECT
	declared int64     // Content-Length, -1 if there is none
	launched time.Time // when the handler was started; the reader's own

	headSent bool // by the handler's goroutine, under c.mu

	// Guarded by c.mu.
	received     int64 // content so far
	sendWindow   int   // negative after the client has shrunk it
	recvWindow   int   // what the client may still send
	recvLimit    int   // how much recvWindow is refilled to
	step         atomic.Int64
	remoteClosed bool // END_STREAM received
	localClosed  bool // END_STREAM queued
	err          error
	blocked      bool         // its sender waits for wake
	queue        *streamQueue // where it waits in line, if it does
	next         *stream      // in that queue
	since        int64        // coarse time of blocking, or of the answer to an unfinished request
}

var _ exchange.Front = (*stream)(nil)

var streams = sync.Pool{New: func() any {
	s := new(stream)
	s.in.s = s
	s.in.more.L = &s.in.mu
	return s
}}

func newStream(c *conn, id uint32, ex *exchange.Exchange) *stream {
	s := streams.Get().(*stream)
	s.c, s.id, s.ex = c, id, ex
	s.wake.L = &c.mu
	s.refs.Store(1)
	return s
}

// release gives up one reference; the last one recycles stream and exchange.
func (s *stream) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	exchange.Put(s.ex)
	s.c, s.ex, s.body = nil, nil, nil
	s.status, s.reason = 0, ""
	s.head, s.tunnel, s.headSent = false, false, false
	s.received, s.launched = 0, time.Time{}
	s.remoteClosed, s.localClosed = false, false
	s.finished.Store(false)
	s.half.Store(0)
	s.err = nil
	s.blocked, s.queue, s.next, s.since = false, nil, nil, 0
	s.in.reset()
	streams.Put(s)
}

// cancel stops whoever works on the stream. It is out of the connection's map
// already, and its err is set.
func (s *stream) cancel(cause error) {
	if n := s.in.end(cause); n > 0 {
		s.c.giveConnWindow(n)
	}
	if !s.finished.Load() {
		s.ex.Cancel(cause)
	}
}

// young tells whether the request has hardly begun.
func (s *stream) young() bool { return s.launched.IsZero() || time.Since(s.launched) < youngRequest }

// windowStep is how much must have been read before the client is told.
func (s *stream) windowStep() int { return int(s.step.Load()) }

func (s *stream) setRecvLimit(n int) {
	s.recvLimit = n
	s.step.Store(int64(n / 2))
}

// giveWindow lets the client send n more bytes, which have been read.
func (s *stream) giveWindow(n int) {
	c := s.c
	c.mu.Lock()
	c.unclaimed += n
	if s.err == nil && !s.remoteClosed {
		// Who keeps up may send more ahead.
		if grown := min(2*s.recvLimit, 8*c.limits.StreamWindow, c.limits.ConnWindow/2); grown > s.recvLimit {
			n += grown - s.recvLimit
			s.setRecvLimit(grown)
		}
		s.recvWindow += n
		b := c.queue()
		b.b = appendWindowUpdate(b.b, s.id, n)
	}
	c.giveUnclaimed()
	flush := c.claim()
	c.mu.Unlock()
	if flush {
		c.flush(true)
	}
}

// giveConnWindow lets the client send n more bytes on any stream. It never
// writes itself, so the reader may call it, too.
func (c *conn) giveConnWindow(n int) {
	c.mu.Lock()
	c.unclaimed += n
	flush := c.giveUnclaimed() && c.claim()
	if flush {
		c.tasks++
	}
	c.mu.Unlock()
	if flush {
		c.srv.workers.do((*flusher)(c))
	}
}

func (c *conn) giveUnclaimed() bool {
	if c.unclaimed < c.limits.ConnWindow/4 || c.err != nil {
		return false
	}
	c.recvWindow += c.unclaimed
	b := c.queue()
	b.b = appendWindowUpdate(b.b, 0, c.unclaimed)
	c.unclaimed = 0
	return true
}

// drop takes s out of the connection because of err; c.mu is held. The caller
// then owns the connection's reference and calls cancel and release.
func (c *conn) drop(s *stream, err error, how ending) {
	s.err = err
	c.remove(s, how)
	c.signal(s)
}

func (c *conn) remove(s *stream, how ending) {
	delete(c.streams, s.id)
	c.closed.add(s.id, how)
	if len(c.streams) == 0 {
		c.idleSince = c.srv.now()
		if c.drain == drainFinal {
			c.quit()
		}
	}
}

// reset resets s; c.mu is held. The rest is as with drop.
func (c *conn) reset(s *stream, code errCode, err error) {
	b := c.queue()
	b.b = appendRSTStream(b.b, s.id, code)
	c.drop(s, err, endOurs)
}

// resetForError resets s for what the client did wrong. c.mu is held, and is
// not afterwards.
func (c *conn) resetForError(s *stream, err *streamError) error {
	gone := &goneError{err}
	c.reset(s, err.code, gone)
	c.mu.Unlock()
	s.cancel(gone)
	s.release()
	return c.charge(costReset, "stream errors")
}

// abandon resets s from its handler's goroutine.
func (s *stream) abandon(code errCode, reason string) {
	c := s.c
	c.mu.Lock()
	if s.err != nil || s.localClosed || c.err != nil {
		c.mu.Unlock()
		return
	}
	err := &streamError{code, reason}
	c.reset(s, code, err)
	flush := c.claim()
	c.mu.Unlock()
	s.cancel(err)
	s.release()
	if flush {
		c.flush(true)
	}
}

// remoteEnd and localEnd note END_STREAM; c.mu is held.
func (s *stream) remoteEnd() {
	s.remoteClosed = true
	s.closeIfDone()
}

func (s *stream) localEnd() {
	s.localClosed = true
	s.c.earned.Add(earnRequest)
	s.closeIfDone()
}

func (s *stream) closeIfDone() {
	if s.localClosed && s.remoteClosed {
		s.c.remove(s, endNormal)
		s.release() // never the last: the caller has one
	}
}
