package upstream

import (
	"context"
	"errors"
	"slices"
	"time"

	"portway/proxy/exchange"
)

// conn2 is one HTTP/2 connection with the exchanges that we put on it. Guarded by
// Pool.mu, but for cc.
type conn2 struct {
	cc      *clientConn2
	streams int
	most    int       // what the origin allows at once
	since   time.Time // without streams, as the sweeper saw it
}

// dial2 is a connection being opened, which others wait for.
type dial2 struct{ done chan struct{} }

// errHTTP1 tells that an https origin chose HTTP/1.1.
var errHTTP1 = errors.New("the origin chose HTTP/1.1")

func (p *Pool) forget2Locked(i int) {
	p.conns2 = slices.Delete(p.conns2, i, i+1)
	p.passSlotLocked()
}

// get2 gives a connection with room for one more stream and counts it in. Where
// all are full it opens another, once at a time, or where it may not, shares one
// on which the stream waits for its turn.
func (p *Pool) get2(ex *exchange.Exchange) (*conn2, error) {
	for {
		p.mu.Lock()
		if c := p.take2Locked(); c != nil {
			p.mu.Unlock()
			return c, nil
		}
		d := p.dialing2
		if d == nil {
			d = &dial2{done: make(chan struct{})}
			p.dialing2 = d
			c, err := p.open2Locked(ex)
			close(d.done)
			return c, err
		}
		p.mu.Unlock()
		select {
		case <-d.done:
		case <-ex.Context().Done():
			return nil, givenUp(context.Cause(ex.Context()))
		}
		if p.cfg.Scheme == "https" && p.alpn.Load() == alpnHTTP1 {
			return nil, errHTTP1
		}
	}
}

// take2Locked finds a connection with room, or at the limit the least busy one;
// nil means to open one.
func (p *Pool) take2Locked() *conn2 {
	var least *conn2
	for i := 0; i < len(p.conns2); i++ {
		c := p.conns2[i]
		if !c.cc.CanTakeNewRequest() { // GOAWAY, or closed
			p.forget2Locked(i)
			i--
			continue
		}
		if c.streams < c.most {
			c.streams++
			return c
		}
		if least == nil || c.streams < least.streams {
			least = c
		}
	}
	if least != nil && p.fullLocked() {
		least.streams++
		return least
	}
	return nil
}

// ask learns how many streams the origin allows, which it may change.
func (c *conn2) ask() {
	if n := c.cc.State().MaxConcurrentStreams; n > 0 {
		c.most = int(min(n, 1<<20))
	}
}

// open2Locked opens a connection, for which p.dialing2 is set. It unlocks p.mu.
func (p *Pool) open2Locked(ex *exchange.Exchange) (*conn2, error) {
	if p.fullLocked() {
		c, err := p.waitLocked(ex)
		if c != nil { // HTTP/1.1, so the origin changed its mind
			p.kill(c, errEnded)
			p.mu.Lock()
			p.dialing++
			p.mu.Unlock()
		} else if err != nil {
			p.mu.Lock()
			p.dialing2 = nil
			p.mu.Unlock()
			return nil, err
		}
	} else {
		p.dialing++
		p.mu.Unlock()
	}
	d, err := p.dial(ex, p.tls2)
	var cc *clientConn2
	if err == nil && (p.cfg.Scheme == "h2c" || d.alpn == protoHTTP2) {
		p.alpn.Store(alpnHTTP2)
		cc, err = p.greet(ex, d)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	p.dialing2 = nil
	switch {
	case err != nil:
		p.passSlotLocked()
		return nil, err
	case cc == nil:
		p.alpn.Store(alpnHTTP1)
		c := p.addLocked(d)
		c.recv.set(unused)
		p.idle = append(p.idle, c)
		return nil, errHTTP1
	}
	c := &conn2{cc: cc, streams: 1, most: 1}
	c.ask()
	p.conns2 = append(p.conns2, c)
	return c, nil
}

// put2 counts a stream out.
func (p *Pool) put2(c *conn2) {
	p.mu.Lock()
	c.streams--
	var idle []*conn2
	if p.closed {
		idle = p.closeIdle2Locked(func(idle *conn2) bool { return idle == c })
	}
	p.mu.Unlock()
	closeAll(nil, idle)
}

// closeIdle2Locked takes connections without streams for which drop holds out of
// the pool; the caller closes them.
func (p *Pool) closeIdle2Locked(drop func(*conn2) bool) (idle []*conn2) {
	p.conns2 = slices.DeleteFunc(p.conns2, func(c *conn2) bool {
		if c.streams > 0 || !drop(c) {
			return false
		}
		idle = append(idle, c)
		return true
	})
	for range idle {
		p.passSlotLocked()
	}
	return idle
}

// sweep2Locked finds connections that were unused for IdleConn.
func (p *Pool) sweep2Locked(now time.Time) []*conn2 {
	for _, c := range p.conns2 {
		c.ask()
		if c.streams > 0 {
			c.since = time.Time{}
		} else if c.since.IsZero() {
			c.since = now
		}
	}
	return p.closeIdle2Locked(func(c *conn2) bool { return now.Sub(c.since) >= p.cfg.IdleConn })
}

// overdue2Locked finds exchanges whose origin is too slow, and gives what ends
// them.
func (p *Pool) overdue2Locked(now time.Time) (late []func()) {
	for _, s := range p.streams2 {
		if recv, send, over := s.overdue(now, &p.cfg); over {
			late = append(late, func() { s.cancel(p.timeoutError(recv, send)) })
		}
	}
	return late
}
