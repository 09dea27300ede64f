package h2

import (
	"fmt"
	"time"

	"portway/proxy/exchange"
)

// lingerUpload is how long a client may go on with an upload that has been
// answered already.
const lingerUpload = int64(2 * time.Second)

var errStalled = fmt.Errorf("%w: it takes nothing any more", exchange.ErrClientGone)

// sweep looks after the time limits of one connection. It never blocks.
func (c *conn) sweep(now int64) {
	t := &c.timeouts
	if late(c.writeSince.Load(), t.Stall, now) || late(c.headSince.Load(), t.Head, now) {
		c.abort()
		return
	}
	c.mu.Lock()
	if c.ended || c.err != nil {
		c.mu.Unlock()
		return
	}
	switch {
	case c.drain == drainAnnounced && late(c.drainSince, time.Second, now):
		c.drainFinally()
	case c.drain == drainNone && len(c.streams) == 0 && late(c.idleSince, t.Idle, now):
		c.drainFinally()
	}
	if late(c.pingSince, t.Ping, now) {
		c.mu.Unlock()
		c.abort()
		return
	}
	if len(c.streams) > 0 && c.pingSince == 0 && late(c.lastRead.Load(), t.Ping, now) {
		c.pingSince = now
		b := c.queue()
		b.b = appendPing(b.b, false, []byte(pingAlive))
	}
	stalled, slow := c.sweepStreams(now)
	flush := c.claim()
	if flush {
		c.tasks++
	}
	c.mu.Unlock()
	if flush {
		c.srv.workers.do((*flusher)(c))
	}
	for _, s := range stalled {
		s.cancel(s.err)
		s.release()
	}
	for _, s := range slow {
		s.in.end(errBodySlow)
		s.release()
	}
}

// late tells whether more than limit has passed; since 0 is never.
func late(since int64, limit time.Duration, now int64) bool {
	return since != 0 && now-since > int64(limit)
}

// sweepStreams resets streams that stall, and finds those whose content is slow
// to come; c.mu is held.
func (c *conn) sweepStreams(now int64) (stalled, slow []*stream) {
	for _, s := range c.streams {
		waiting := s.in.waiting.Load()
		switch {
		case s.blocked && now-s.since > int64(c.timeouts.Stall):
			c.reset(s, codeCancel, errStalled)
			stalled = append(stalled, s)
		case late(s.half.Load(), c.timeouts.Stall, now):
			c.reset(s, codeCancel, errStalled)
			stalled = append(stalled, s)
		case s.finished.Load() && s.localClosed && now-s.since > lingerUpload:
			c.reset(s, codeNo, errAnswered)
			stalled = append(stalled, s)
		case waiting != 0 && now-waiting > int64(c.timeouts.Body) && !s.headSent && s.declared >= 0:
			s.refs.Add(1)
			slow = append(slow, s)
		}
	}
	return stalled, slow
}

// drainer is the task that begins to drain a connection.
type drainer conn

func (d *drainer) run() {
	c := (*conn)(d)
	c.mu.Lock()
	if c.drain == drainNone && c.err == nil {
		c.drain, c.drainSince = drainAnnounced, c.srv.now()
		b := c.queue()
		b.b = appendGoAway(b.b, maxWindow, codeNo, "shutting down")
		b.b = appendPing(b.b, false, []byte(pingDrain))
	}
	flush := c.claim()
	c.mu.Unlock()
	if flush {
		c.flush(true)
	}
	c.mu.Lock()
	c.taskDone()
	c.mu.Unlock()
}

// drainFinally tells the client which stream is the last; c.mu is held. By now it
// knows that no other should be opened, so that none is lost.
func (c *conn) drainFinally() {
	c.drain = drainFinal
	b := c.queue()
	b.b = appendGoAway(b.b, c.last, codeNo, "")
	if len(c.streams) == 0 {
		c.quit()
	}
}

// quit makes the reader end the connection; c.mu is held.
func (c *conn) quit() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) }
