package upstream

import (
	"net"
	"time"

	"portway/proxy/exchange"
)

// splicePause is how long the origin may be silent before Splice gives the word
// back to Read, which has a time limit for it.
const splicePause = time.Second

var _ exchange.Splicer = (*stream)(nil)

// Splice moves content to a client without copying it here, if the origin speaks
// plain TCP too and what is left of the answer needs no framing. How long the
// client may take is for the front to see.
func (s *stream) Splice(dst *net.TCPConn, limit int64) (n int64, ok bool, err error) {
	c := s.conn.Load()
	if c == nil || s.closed.Load() || c.dry != nil {
		return 0, false, nil
	}
	src, tcp := c.sock.(*net.TCPConn)
	if !tcp {
		return 0, false, nil
	}
	c.recv.set(ours)
	_ = src.SetReadDeadline(time.Now().Add(splicePause)) // fails only with the connection
	n, ok, err = s.body.Splice(dst, src, limit)
	_ = src.SetReadDeadline(time.Time{})
	switch {
	case s.body.Done():
		s.end()
	case err != nil:
		err = s.cutOff(err)
	}
	return n, ok, err
}
