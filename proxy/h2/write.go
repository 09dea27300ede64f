package h2

import (
	"runtime"
	"sync"

	"portway/proxy/exchange"
)

const (
	// enough is how much may be queued before streams wait for it to be written.
	enough = 64 << 10
	// tooMuch is how much the reader may add to that with its own frames before the
	// client, which does not read, is cut off.
	tooMuch = 1 << 20
	// maxData is the content of one DATA frame, so that a full one is a full TLS record.
	maxData = maxFrame - headerLen
	// maxRounds is how often a stream writes for others before it goes its way.
	maxRounds = 16
	keptOut   = 4 * enough
)

// outBuffer holds frames until they are written.
type outBuffer struct{ b []byte }

var outBuffers = sync.Pool{New: func() any { return &outBuffer{make([]byte, 0, 4<<10)} }}

func (o *outBuffer) free() {
	if cap(o.b) <= keptOut {
		o.b = o.b[:0]
		outBuffers.Put(o)
	}
}

// queue returns the buffer to append frames to; c.mu is held, as everywhere below
// but in flush.
func (c *conn) queue() *outBuffer {
	if c.out == nil {
		c.out = outBuffers.Get().(*outBuffer)
	}
	return c.out
}

func (c *conn) queued() int {
	if c.out == nil {
		return 0
	}
	return len(c.out.b)
}

// claim makes the caller the one who writes, if there is something to write and
// nobody does yet. It must then call flush, without c.mu.
func (c *conn) claim() bool {
	if c.flushing || c.queued() == 0 {
		return false
	}
	c.flushing = true
	return true
}

// flush writes what is queued. With others, it first lets them run, so that
// what they have ready goes with it.
func (c *conn) flush(others bool) {
	if others {
		// Twice, for those whom the first ones woke: 0.38 writes for each response, where
		// once makes 0.47 and never 0.96 (16 streams, an origin with keep-alive).
		runtime.Gosched()
		runtime.Gosched()
	}
	c.mu.Lock()
	for round := 0; c.queued() > 0; round++ {
		if round == maxRounds {
			// Somebody else's affair by now: stays claimed.
			c.tasks++
			c.mu.Unlock()
			c.srv.workers.do((*flusher)(c))
			return
		}
		buf := c.out
		c.out = nil
		c.mu.Unlock()
		c.writeSince.Store(c.srv.now())
		err := c.write(buf.b)
		c.writeSince.Store(0)
		buf.free()
		c.mu.Lock()
		if err != nil {
			c.broken()
			break
		}
		c.admit()
	}
	c.flushing = false
	if c.flushed != nil {
		close(c.flushed)
		c.flushed = nil
	}
	c.mu.Unlock()
}

// write writes b, with one system call where a Cork makes that possible.
func (c *conn) write(b []byte) error {
	cork := c.cork
	if len(b) <= maxFrame {
		cork = nil
	}
	cork.Hold()
	_, err := c.nc.Write(b)
	if rerr := cork.Release(); err == nil {
		err = rerr
	}
	return err
}

// broken ends sending: the reader finds out and ends the connection.
func (c *conn) broken() {
	c.severed = true
	if c.err == nil {
		c.err = exchange.ErrClientGone
	}
	if c.out != nil {
		c.out.free()
		c.out = nil
	}
	for _, s := range c.streams {
		c.signal(s)
	}
	c.abort()
}

// flusher is the task that writes for a connection.
type flusher conn

func (f *flusher) run() {
	c := (*conn)(f)
	c.flush(true)
	c.mu.Lock()
	c.taskDone()
	c.mu.Unlock()
}

// streamQueue is a queue of streams whose senders wait.
type streamQueue struct{ first, last *stream }

func (q *streamQueue) push(s *stream) {
	s.queue, s.next = q, nil
	if q.last == nil {
		q.first = s
	} else {
		q.last.next = s
	}
	q.last = s
}

func (q *streamQueue) remove(s *stream) {
	var before *stream
	for at := q.first; at != s; at = at.next {
		before = at
	}
	if before == nil {
		q.first = s.next
	} else {
		before.next = s.next
	}
	if q.last == s {
		q.last = before
	}
	s.queue, s.next = nil, nil
}

// admit gives the turn to the next sender, if there is room. Nobody else may
// queue anything before that one has, or those who are awake would always come
// before those who must wake up first.
func (c *conn) admit() {
	if c.turn != nil || c.queued() >= enough {
		return
	}
	if c.turn = c.heads.first; c.turn == nil && c.sendWindow > 0 {
		c.turn = c.contents.first
	}
	if c.turn != nil {
		c.signal(c.turn)
	}
}

// mayQueue tells whether s need not wait for room or for others.
func (c *conn) mayQueue(s *stream) bool {
	return c.queued() < enough && (c.turn == nil || c.turn == s)
}

// yield ends the turn of s, if it has it.
func (c *conn) yield(s *stream) {
	if c.turn == s {
		c.turn = nil
	}
}

// signal wakes the sender of s if it waits.
func (c *conn) signal(s *stream) {
	if s.queue != nil {
		s.queue.remove(s)
	}
	if s.blocked {
		s.blocked = false
		s.wake.Signal()
	}
}

// await waits in q until something has changed for s, which cannot go on now; nil
// is for those that only its own window can help. c.mu is given up meanwhile.
func (c *conn) await(s *stream, q *streamQueue) {
	c.yield(s)
	if c.claim() {
		// Nobody else writes what would make room.
		c.mu.Unlock()
		c.flush(true)
		c.mu.Lock()
		return
	}
	s.blocked, s.since = true, c.srv.now()
	if q != nil {
		q.push(s)
	}
	c.admit()
	for s.blocked {
		s.wake.Wait()
	}
}

// What send queues besides content.
const (
	withHead     = 1 << iota // the head of the response first
	withEnd                  // END_STREAM afterwards
	withTrailers             // trailers and END_STREAM afterwards
)

// send queues frames of a response, waits for window and room where it must, and
// writes, unless somebody else is at it. c.mu is not held.
func (s *stream) send(p []byte, parts uint8) error {
	c := s.c
	c.mu.Lock()
	err := s.enqueue(p, parts)
	c.yield(s)
	c.admit()
	flush := c.claim()
	c.mu.Unlock()
	if flush {
		c.flush(true)
	}
	return err
}

func (s *stream) enqueue(p []byte, parts uint8) error {
	c := s.c
	for !c.mayQueue(s) && s.failed() == nil {
		c.await(s, &c.heads)
	}
	if err := s.failed(); err != nil {
		return err
	}
	if parts&withHead != 0 {
		s.headSent = true
		bare := len(p) == 0 && parts&withEnd != 0
		c.appendHead(s, bare)
		if bare {
			s.localEnd()
			return nil
		}
	}
	for len(p) > 0 {
		if err := s.failed(); err != nil {
			return err
		}
		n := min(len(p), s.sendWindow, c.sendWindow, maxData)
		switch {
		case s.sendWindow <= 0:
			c.await(s, nil)
		case n <= 0 || !c.mayQueue(s) || c.contents.first != nil && c.turn != s:
			c.await(s, &c.contents)
		default:
			s.sendWindow -= n
			c.sendWindow -= n
			var flags uint8
			if n == len(p) && parts&withEnd != 0 {
				flags = flagEndStream
				s.localEnd()
			}
			b := c.queue()
			b.b = append(appendFrameHeader(b.b, n, frameData, flags, s.id), p[:n]...)
			p = p[n:]
			c.earned.Add(earnData + int64(n>>10)*earnKiB)
		}
	}
	switch {
	case s.localClosed:
	case parts&withTrailers != 0:
		c.appendTrailers(s)
		s.localEnd()
	case parts&withEnd != 0:
		b := c.queue()
		b.b = appendFrameHeader(b.b, 0, frameData, flagEndStream, s.id)
		s.localEnd()
	}
	return nil
}

// failed tells why nothing can be sent on s.
func (s *stream) failed() error {
	if s.err != nil {
		return s.err
	}
	return s.c.err
}
