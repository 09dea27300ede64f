package h1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"portway/proxy/exchange"
)

const (
	upgradeRequest  = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	upgradeResponse = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)

// tunnels is a handler that accepts every upgrade; the origin's ends come out of
// origins.
func tunnels(t *testing.T, timeouts Timeouts) (s *Server, origins chan *net.TCPConn, ends outcomes) {
	origins, ends = make(chan *net.TCPConn, 1), make(outcomes, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &Server{Timeouts: timeouts, Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ex.OnDone(ends)
		ours, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		origin, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = origin.Close() })
		ex.Response.Status, ex.Response.Tunnel = 101, ours.(*net.TCPConn)
		origins <- origin.(*net.TCPConn)
	})}, origins, ends
}

func (c *client) closeWrite() {
	c.t.Helper()
	if tc, ok := c.Conn.(*tls.Conn); ok {
		if err := tc.CloseWrite(); err != nil {
			c.t.Fatal(err)
		}
		return // close_notify is the end; the socket stays whole
	}
	if err := c.tcp.CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// readFrom reads exactly s from nc.
func readFrom(t *testing.T, nc net.Conn, s string) {
	t.Helper()
	got := make([]byte, len(s))
	if n, err := io.ReadFull(nc, got); err != nil || string(got) != s {
		t.Fatalf("got %q (%v), want %q", got[:n], err, s)
	}
}

func TestTunnel(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		s, origins, ends := tunnels(t, Timeouts{})
		r := start(t, s, secure)

		// The client ends first; bytes that came with the request are not lost.
		c := r.dial()
		c.send(upgradeRequest + "early")
		c.expect(upgradeResponse)
		origin := <-origins
		readFrom(t, origin, "early")
		for range 3 {
			c.send("ping")
			readFrom(t, origin, "ping")
			_, _ = io.WriteString(origin, "pong")
			c.expect("pong")
		}
		c.closeWrite()
		if rest, err := io.ReadAll(origin); err != nil || len(rest) > 0 {
			t.Fatalf("%q, %v instead of the end", rest, err)
		}
		_, _ = io.WriteString(origin, "last words")
		c.expect("last words")
		_ = origin.Close()
		c.expectEnd()
		if err := ends.next(t); err != nil {
			t.Error(err)
		}

		// The origin ends first.
		c = r.dial()
		c.send(upgradeRequest)
		c.expect(upgradeResponse)
		origin = <-origins
		_, _ = io.WriteString(origin, "bye")
		_ = origin.CloseWrite()
		c.expect("bye")
		c.expectEnd()
		c.send("last words")
		c.closeWrite()
		if rest, err := io.ReadAll(origin); err != nil || string(rest) != "last words" {
			t.Fatalf("%q, %v", rest, err)
		}
		if err := ends.next(t); err != nil {
			t.Error(err)
		}
	})
}

func TestTunnelLarge(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		s, origins, ends := tunnels(t, Timeouts{})
		c := start(t, s, secure).dial()
		c.send(upgradeRequest)
		c.expect(upgradeResponse)
		origin := <-origins
		up, down := make([]byte, 5<<20), make([]byte, 5<<20)
		random := rand.NewChaCha8([32]byte{1})
		_, _ = random.Read(up)
		_, _ = random.Read(down)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = c.Write(up)
			c.closeWrite()
		})
		wg.Go(func() {
			_, _ = origin.Write(down)
			_ = origin.CloseWrite()
		})
		wg.Go(func() {
			if got, err := io.ReadAll(origin); err != nil || !bytes.Equal(got, up) {
				t.Errorf("up: %d bytes, %v", len(got), err)
			}
		})
		if got, err := io.ReadAll(c.r); err != nil || !bytes.Equal(got, down) {
			t.Errorf("down: %d bytes, %v", len(got), err)
		}
		wg.Wait()
		if err := ends.next(t); err != nil {
			t.Error(err)
		}
	})
}

// A side that breaks ends the other; one that vanishes behind a half-closed tunnel
// does not keep it for ever.
func TestTunnelEnds(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		s, origins, ends := tunnels(t, Timeouts{Stall: short})
		r := start(t, s, secure)
		open := func() (*client, *net.TCPConn) {
			c := r.dial()
			c.send(upgradeRequest)
			c.expect(upgradeResponse)
			return c, <-origins
		}

		c, origin := open()
		_ = origin.SetLinger(0)
		_ = origin.Close()
		_, _ = io.ReadAll(c.r) // ends, somehow
		if err := ends.next(t); err == nil || errors.Is(err, exchange.ErrClientGone) {
			t.Errorf("origin broke: %v", err)
		}

		c, origin = open()
		_ = c.tcp.SetLinger(0)
		_ = c.tcp.Close()
		_, _ = io.ReadAll(origin)
		if err := ends.next(t); err == nil {
			t.Errorf("client broke: %v", err)
		}

		c, origin = open()
		c.closeWrite()
		if rest, err := io.ReadAll(origin); err != nil || len(rest) > 0 {
			t.Fatalf("%q, %v instead of the end", rest, err)
		}
		_, _ = io.ReadAll(c.r)
		if err := ends.next(t); !errors.Is(err, exchange.ErrClientSlow) {
			t.Errorf("half closed and silent: %v", err)
		}

		// Silence of a whole tunnel is no fault.
		c, origin = open()
		select {
		case err := <-ends:
			t.Errorf("silent tunnel ended: %v", err)
		case <-time.After(3 * short):
		}
		c.send("x")
		readFrom(t, origin, "x")
	})
}

// A protocol is not switched before the request has been read to its end, lest
// its content be taken for what follows.
func TestTunnelBehindContent(t *testing.T) {
	t.Parallel()
	s, origins, ends := tunnels(t, Timeouts{})
	accept := s.Handler
	s.Handler = exchange.HandlerFunc(func(ex *exchange.Exchange) {
		if string(ex.Request.Path) == "/read" {
			_, _ = io.Copy(io.Discard, ex.Request.Body)
		}
		accept.Serve(ex)
	})
	r := start(t, s, false)
	for path, ok := range map[string]bool{"/read": true, "/unread": false} {
		c := r.dial()
		c.send("POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhelloafter")
		origin := <-origins
		if ok {
			c.expect(upgradeResponse)
			readFrom(t, origin, "after")
			_ = origin.Close()
			_ = c.Close()
			_ = ends.next(t)
			continue
		}
		if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
			t.Errorf("got %q", rest)
		}
		if err := ends.next(t); err == nil {
			t.Error("switched before the content was read")
		}
	}
}
