package proxy

import (
	"net"
	"sync"
)

// conns knows the connections of clients that no front has yet: those in a TLS
// handshake.
type conns struct {
	mu       sync.Mutex
	open     map[net.Conn]struct{}
	draining bool
}

// add takes a fresh connection in; false if it is too late.
func (s *conns) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	if s.open == nil {
		s.open = make(map[net.Conn]struct{})
	}
	s.open[c] = struct{}{}
	return true
}

// remove forgets a connection which its front has, or which is closed.
func (s *conns) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// drain closes them all, and lets nothing more in.
func (s *conns) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for c := range s.open {
		_ = c.Close()
	}
}
