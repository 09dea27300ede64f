package upstream

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"portway/proxy/exchange"
)

// waiter is an exchange that waits since MaxConns connections are in use. It gets
// one of them, or nil: a connection that it may open itself.
type waiter struct{ ready chan *conn }

// get takes the idle connection that was used last, waits for one, or opens one;
// with fresh, it does not take an idle one. Whether a used one is still good shows
// when the request is sent.
func (p *Pool) get(ex *exchange.Exchange, fresh bool) (*conn, error) {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 && !fresh {
		c := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		c.recv.set(ours)
		p.mu.Unlock()
		return c, nil
	}
	if p.fullLocked() {
		if c, err := p.waitLocked(ex); c != nil || err != nil {
			return c, err
		}
	} else {
		p.dialing++
		p.mu.Unlock()
	}
	d, err := p.dial(ex, p.tls1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	if err != nil {
		p.alpn.Store(alpnUnknown) // an https origin may want HTTP/2 now
		p.passSlotLocked()
		return nil, err
	}
	return p.addLocked(d), nil
}

// addLocked makes a connection of the pool from what dial gave.
func (p *Pool) addLocked(d dialed) *conn {
	c := newConn(p, d)
	c.index = len(p.conns)
	p.conns = append(p.conns, c)
	return c
}

// fullLocked tells whether one more connection would be too many. Who comes while
// others wait, waits too.
func (p *Pool) fullLocked() bool {
	return p.cfg.MaxConns > 0 &&
		(len(p.conns)+len(p.conns2)+p.dialing >= p.cfg.MaxConns || len(p.waiters) > 0)
}

// waitLocked waits for a connection or, returning nil, for the right to open one.
// It unlocks p.mu.
func (p *Pool) waitLocked(ex *exchange.Exchange) (*conn, error) {
	w := &waiter{ready: make(chan *conn, 1)}
	p.waiters = append(p.waiters, w)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ex.Context(), p.cfg.DialTimeout)
	defer cancel()
	select {
	case c := <-w.ready:
		return c, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	if i := slices.Index(p.waiters, w); i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
		p.mu.Unlock()
	} else {
		p.mu.Unlock()
		if c := <-w.ready; c != nil {
			p.put(c)
		} else {
			p.mu.Lock()
			p.dialing--
			p.passSlotLocked()
			p.mu.Unlock()
		}
	}
	if cause := ex.Canceled(); cause != nil {
		return nil, givenUp(cause)
	}
	return nil, fail(fmt.Sprintf("all %d connections to %s were in use for %v",
		p.cfg.MaxConns, p.name, p.cfg.DialTimeout), ErrBusy, ErrNotProcessed)
}

// nextWaiterLocked takes the exchange that waits longest, nil if none does.
func (p *Pool) nextWaiterLocked() *waiter {
	if len(p.waiters) == 0 {
		return nil
	}
	w := p.waiters[0]
	p.waiters = slices.Delete(p.waiters, 0, 1)
	return w
}

// passSlotLocked lets a waiter open a connection in place of one that is gone.
func (p *Pool) passSlotLocked() {
	if w := p.nextWaiterLocked(); w != nil {
		p.dialing++
		w.ready <- nil
	}
}

// put takes back a connection after the exact end of a message.
func (p *Pool) put(c *conn) {
	if c.leftover() {
		p.kill(c, errEnded)
		return
	}
	c.used = true
	c.recv.set(unused)
	p.mu.Lock()
	if c.cause != nil { // closed meanwhile, by whom it may be
		p.mu.Unlock()
		return
	}
	if p.closed || len(p.idle) >= p.cfg.MaxIdle {
		p.removeLocked(c, errEnded)
		p.mu.Unlock()
		_ = c.nc.Close()
		return
	}
	if w := p.nextWaiterLocked(); w != nil {
		c.recv.set(ours)
		w.ready <- c
	} else {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
}

// kill closes a connection at once, for good and under whoever uses it; the first
// cause counts. It does not wait for anything.
func (p *Pool) kill(c *conn, cause error) {
	p.mu.Lock()
	first := c.cause == nil
	if first {
		p.removeLocked(c, cause)
	}
	p.mu.Unlock()
	if first {
		_ = c.sock.Close()
	}
}

// causeOf tells why a connection was closed by us; nil if it was not.
func (p *Pool) causeOf(c *conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.cause
}

// removeLocked forgets a connection, which the caller closes; it must not be in
// p.idle any more.
func (p *Pool) removeLocked(c *conn, cause error) {
	c.cause = cause
	last := len(p.conns) - 1
	p.conns[c.index] = p.conns[last]
	p.conns[c.index].index = c.index
	p.conns[last] = nil
	p.conns = p.conns[:last]
	p.passSlotLocked()
}

// Sweep closes connections that have been unused for IdleConn or were closed by
// the origin, and ends exchanges whose origin made no progress for FirstByte or
// Idle. The owner of the pool calls it with the current time, from one goroutine,
// at even intervals between 250 ms and a second, for all its pools; a limit is
// kept up to one interval late, never early.
func (p *Pool) Sweep(now time.Time) {
	var idle, late []*conn
	p.mu.Lock()
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		_, _, over := c.overdue(now, &p.cfg)
		if !over && !c.stale() {
			return false
		}
		idle = append(idle, c)
		return true
	})
	for _, c := range idle {
		p.removeLocked(c, errIdle)
	}
	for i := len(p.conns) - 1; i >= 0; i-- {
		c := p.conns[i]
		recv, send, over := c.overdue(now, &p.cfg)
		if over && recv != unused {
			p.removeLocked(c, p.timeoutError(recv, send))
			late = append(late, c)
		}
	}
	late2 := p.overdue2Locked(now)
	idle2 := p.sweep2Locked(now)
	p.mu.Unlock()
	for _, c := range late {
		_ = c.sock.Close()
	}
	for _, cancel := range late2 {
		cancel()
	}
	closeAll(idle, idle2)
}

// closeAll closes connections that nobody uses, the polite way.
func closeAll(idle []*conn, idle2 []*conn2) {
	for _, c := range idle {
		_ = c.nc.Close()
	}
	for _, c := range idle2 {
		_ = c.cc.Close()
	}
}

// dialed is an open connection: nc over dry over sock with TLS, else only sock.
type dialed struct {
	nc, sock net.Conn
	dry      *drySock
	alpn     string // what TLS agreed on
}
