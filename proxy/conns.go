package proxy

import (
	"context"
	"net"
	"sync"
)

// conns knows all connections of clients that are open.
type conns struct {
	mu       sync.Mutex
	open     map[*conn]struct{}
	draining bool
	changed  chan struct{} // closed and renewed when one closes; nil if nobody waits
}

// conn is a client's connection, until it is closed.
type conn struct {
	net.Conn
	of      *conns
	serving bool // the handshake, if any, is done; guarded by of.mu
}

// add takes a fresh connection in, or closes it if it is too late.
func (s *conns) add(c net.Conn) (*conn, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		_ = c.Close()
		return nil, false
	}
	if s.open == nil {
		s.open = make(map[*conn]struct{})
	}
	n := &conn{Conn: c, of: s}
	s.open[n] = struct{}{}
	return n, true
}

// serve notes that c goes to its front now; false if it is too late.
func (s *conns) serve(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.serving = true
	return !s.draining
}

// drain closes what has not begun to be served, and lets nothing more in.
func (s *conns) drain() {
	s.mu.Lock()
	s.draining = true
	var fresh []*conn
	for c := range s.open {
		if !c.serving {
			fresh = append(fresh, c)
		}
	}
	s.mu.Unlock()
	for _, c := range fresh {
		_ = c.Close()
	}
}

// wait returns when none is open, or ctx is done.
func (s *conns) wait(ctx context.Context) {
	for {
		s.mu.Lock()
		if len(s.open) == 0 {
			s.mu.Unlock()
			return
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// cut closes all that are open and counts them.
func (s *conns) cut() int {
	s.mu.Lock()
	var left []*conn
	for c := range s.open {
		left = append(left, c)
	}
	s.mu.Unlock()
	for _, c := range left {
		_ = c.Close()
	}
	return len(left)
}

// Close closes the connection.
func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	if c.of.changed != nil {
		close(c.of.changed)
		c.of.changed = nil
	}
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends our direction.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
