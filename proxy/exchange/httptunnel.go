package exchange

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// switchProtocols takes the connection out of net/http's hands and copies both
// ways until both ends are done.
func (x *httpExchange) switchProtocols(ex *Exchange) error {
	tunnel := ex.Response.Tunnel
	if tunnel == nil {
		return errors.New("switching protocols without a tunnel")
	}
	defer func() { _ = tunnel.Close() }()
	if len(ex.Request.Upgrade) == 0 {
		return errors.New("switching protocols though the client did not ask")
	}
	if x.r.ProtoMajor > 1 {
		return x.tunnel(ex, tunnel)
	}
	conn, rw, err := x.control.Hijack()
	if err != nil {
		return fmt.Errorf("cannot take over the connection: %w", err)
	}
	defer func() { _ = conn.Close() }()
	h := http.Header{}
	ex.Response.Fields.CopyHTTP(h)
	h["Connection"] = []string{"Upgrade"}
	h["Upgrade"] = []string{string(ex.Request.Upgrade)}
	_ = conn.SetWriteDeadline(deadline(x.idle))
	_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(rw)
	_, _ = rw.WriteString("\r\n")
	if err := rw.Flush(); err != nil {
		return clientGone(err)
	}
	_ = conn.SetDeadline(time.Time{})
	x.sent = relay(&clientSide{conn, rw}, tunnel, x.idle)
	return nil
}

// tunnel accepts an extended CONNECT, and copies both ways until one end is
// done: a WebSocket says its goodbyes before it closes.
func (x *httpExchange) tunnel(ex *Exchange, origin Tunnel) error {
	h := x.w.Header()
	ex.Response.Fields.CopyHTTP(h)
	x.w.WriteHeader(http.StatusOK)
	if err := x.control.Flush(); err != nil {
		return clientGone(err)
	}
	_ = x.control.SetReadDeadline(time.Time{})
	x.sent = relay(&clientStream{x}, origin, x.idle)
	return nil
}

// clientStream is the client's side of an extended CONNECT.
type clientStream struct{ x *httpExchange }

var _ Tunnel = (*clientStream)(nil)

func (s *clientStream) Read(p []byte) (int, error) { return s.x.r.Body.Read(p) }

func (s *clientStream) Write(p []byte) (int, error) {
	s.x.arm()
	n, err := s.x.w.Write(p)
	if err == nil {
		err = s.x.control.Flush()
	}
	return n, err
}

// CloseWrite ends the whole tunnel: our direction of the stream ends when the
// handler returns.
func (s *clientStream) CloseWrite() error { return s.Close() }

func (s *clientStream) Close() error { return s.x.r.Body.Close() }

func deadline(idle time.Duration) time.Time {
	if idle <= 0 {
		return time.Time{}
	}
	return time.Now().Add(idle)
}

// clientSide is a hijacked connection, with what was read of it already.
type clientSide struct {
	net.Conn
	buffered io.Reader
}

var _ Tunnel = (*clientSide)(nil)

func (c *clientSide) Read(p []byte) (int, error) { return c.buffered.Read(p) }

func (c *clientSide) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// relay copies in both directions until both have ended. When one has, the
// other may be silent for idle at most, since its reader may be gone. How a tunnel
// ends is its users' affair: there is no error. sent counts bytes towards the
// client.
func relay(client, origin Tunnel, idle time.Duration) (sent int64) {
	closeBoth := func() {
		_ = client.Close()
		_ = origin.Close()
	}
	var half atomic.Pointer[time.Timer] // set when one direction has ended
	one := func(dst, src Tunnel) (n int64) {
		buf := buffers.Get().(*[bufferSize]byte)
		defer buffers.Put(buf)
		var err error
		for {
			var m int
			m, err = src.Read(buf[:])
			if m > 0 {
				if _, werr := dst.Write(buf[:m]); werr != nil {
					err = werr
					break
				}
				n += int64(m)
				if t := half.Load(); t != nil {
					t.Reset(idle)
				}
			}
			if err != nil {
				break
			}
		}
		if err == io.EOF {
			err = dst.CloseWrite()
		}
		if err != nil {
			closeBoth()
		} else if idle > 0 && half.Load() == nil {
			if t := time.AfterFunc(idle, closeBoth); !half.CompareAndSwap(nil, t) {
				t.Stop()
			}
		}
		return n
	}
	var up sync.WaitGroup
	up.Go(func() { one(origin, client) })
	sent = one(client, origin)
	up.Wait()
	closeBoth()
	if t := half.Load(); t != nil {
		t.Stop()
	}
	return sent
}
