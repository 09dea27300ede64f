package h2

import (
	"log/slog"
	"runtime/debug"

	"portway/proxy/exchange"
)

// relay accepts the upgrade and copies in both directions until both have ended.
// How a tunnel ends is its users' affair.
func (s *stream) relay(tunnel exchange.Tunnel) (sent int64, err error) {
	defer func() { _ = tunnel.Close() }()
	if err := s.send(nil, withHead); err != nil {
		return 0, err
	}
	up := make(chan struct{})
	c := s.c
	c.mu.Lock()
	c.tasks++
	c.mu.Unlock()
	c.srv.workers.do(&upward{s, tunnel, up})
	sent, err = s.relayDown(tunnel)
	if err != nil {
		_ = tunnel.Close()
		s.in.Close()
	}
	<-up
	return sent, nil
}

// relayDown copies from the origin to the client.
func (s *stream) relayDown(tunnel exchange.Tunnel) (sent int64, err error) {
	var pooled copyBuffer
	defer pooled.free()
	buf := pooled.take(false)
	for {
		n, err := tunnel.Read(buf)
		if n > 0 {
			if err := s.send(buf[:n], 0); err != nil {
				return sent, err
			}
			sent += int64(n)
			s.touchHalf()
		}
		if isEOF(err) {
			s.half.Store(s.c.srv.now())
			return sent, s.send(nil, withEnd)
		}
		if err != nil {
			s.abandon(codeConnect, "the origin's side of the tunnel broke: "+err.Error())
			return sent, err
		}
		if big := n == len(buf); big != (pooled.big != nil) {
			buf = pooled.take(big)
		}
	}
}

// touchHalf notes that a tunnel which is closed in one direction is alive.
func (s *stream) touchHalf() {
	if s.half.Load() != 0 {
		s.half.Store(s.c.srv.now())
	}
}

// upward is the task that copies from the client to the origin.
type upward struct {
	s      *stream
	tunnel exchange.Tunnel
	done   chan struct{}
}

func (u *upward) run() {
	c := u.s.c
	u.guard()
	close(u.done) // then s is not ours any more
	c.mu.Lock()
	c.taskDone()
	c.mu.Unlock()
}

// guard copies; what goes wrong ends the tunnel.
func (u *upward) guard() {
	defer func() {
		if v := recover(); v != nil {
			u.s.c.log(slog.LevelError, "panic in a tunnel", "panic", v, "stack", string(debug.Stack()))
			_ = u.tunnel.Close()
		}
	}()
	if err := u.copy(); err != nil {
		_ = u.tunnel.Close()
	}
}

func (u *upward) copy() error {
	for {
		// An idle tunnel holds no buffer in this direction.
		u.s.in.ready()
		eof, err := u.step()
		if err != nil {
			return err
		}
		if eof {
			u.s.half.Store(u.s.c.srv.now())
			return u.tunnel.CloseWrite()
		}
	}
}

func (u *upward) step() (eof bool, err error) {
	var pooled copyBuffer
	defer pooled.free()
	buf := pooled.take(u.s.in.Buffered() > smallCopy)
	n, err := u.s.in.Read(buf)
	if n > 0 {
		if _, err := u.tunnel.Write(buf[:n]); err != nil {
			return false, err
		}
		u.s.touchHalf()
	}
	if isEOF(err) {
		return true, nil
	}
	return false, err
}
