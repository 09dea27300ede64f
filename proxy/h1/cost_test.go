package h1

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// counted counts system calls that would write.
type counted struct {
	net.Conn
	writes atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// overCounted serves one connection that is counted, and gives the client's end.
func overCounted(t *testing.T, h exchange.Handler, secure bool) (*client, *counted) {
	t.Helper()
	near, far := socketPair(t)
	n := &counted{Conn: far}
	s := &Server{Handler: h}
	info := &exchange.Conn{Protocol: exchange.HTTP11}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		nc := net.Conn(n)
		if secure {
			tc := tls.Server(wire.NewCork(n), &tls.Config{Certificates: []tls.Certificate{testCert()}})
			if err := tc.Handshake(); err != nil {
				return
			}
			nc = tc
		}
		s.ServeConn(nc, info)
	}()
	c := &client{Conn: near, t: t}
	if secure {
		c.Conn = tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	}
	c.init()
	t.Cleanup(func() {
		_ = c.Close()
		<-ended
	})
	return c, n
}

// A message leaves with one write where its content is at hand: small ones whole,
// large ones in pieces of 64 KiB.
func TestOneWrite(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		c, n := overCounted(t, exchange.HandlerFunc(func(ex *exchange.Exchange) {
			size := 0
			_, _ = fmt.Sscan(string(ex.Request.Path[1:]), &size)
			ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, int64(size), &download{size}
			if ex.Request.HasQuery {
				ex.Response.Length = exchange.LengthUnknown
			}
		}), secure)
		for _, tt := range []struct {
			path   string
			writes int64
		}{
			{"/0", 1},
			{"/1024", 1},
			{"/16000", 1},
			{"/1024?chunked", 1},
			{"/16000?chunked", 1},
			{"/1048576", 19},
			{"/1048576?chunked", 19}, // 2 of 16 KiB, then 64 KiB less framing
			{"/1024", 1},
		} {
			c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			_, _ = c.response("GET") // so that tickets and the like have been sent
			before := n.writes.Load()
			c.send("GET " + tt.path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			_, content := c.response("GET")
			if got := n.writes.Load() - before; got > tt.writes {
				t.Errorf("%s: %d bytes took %d writes, want %d", tt.path, len(content), got, tt.writes)
			}
		}
	})
}

// Heads of any size within the limit work, and beyond it are refused.
func TestLargeHead(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			answer(ex, string(ex.Request.Fields.Get("x")))
			ex.Response.Fields.Add([]byte("X"), ex.Request.Fields.Get("x"))
		}), Limits: Limits{HeadBytes: 200 << 10}}, secure)
		c := r.dial()
		for _, size := range []int{100, wire.Small - 30, wire.Small, wire.Small + 1, 40000, wire.Large, 100 << 10, 190 << 10, 100} {
			x := strings.Repeat("x", size)
			c.send("GET / HTTP/1.1\r\nHost: x\r\nX: " + x + "\r\n\r\n")
			resp, content := c.response("GET")
			if content != x || resp.Header.Get("X") != x {
				t.Errorf("head of %d bytes: got %d in a field and %d as content", size, len(resp.Header.Get("X")), len(content))
			}
		}
		c.send("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 200<<10))
		if resp, _ := c.response("GET"); resp.StatusCode != 431 {
			t.Errorf("got %d", resp.StatusCode)
		}
	})
}

// Large contents of all framings arrive as they were sent, both ways.
func TestLargeContent(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		c := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			content, err := io.ReadAll(ex.Request.Body)
			if err != nil {
				t.Error(err)
			}
			answer(ex, string(content))
			if ex.Request.HasQuery {
				ex.Response.Length = exchange.LengthUnknown
			}
		})}, secure).dial()
		var content strings.Builder
		for i := range 60000 {
			fmt.Fprintf(&content, "%d ", i)
		}
		want := content.String()
		for _, target := range []string{"/", "/?chunked"} {
			go func() {
				_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, len(want), want)
			}()
			if _, got := c.response("POST"); got != want {
				t.Errorf("%s: %d bytes came back of %d", target, len(got), len(want))
			}
			go func() {
				_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", target)
				for rest := want; len(rest) > 0; {
					n := min(len(rest), 7777)
					_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", n, rest[:n])
					rest = rest[n:]
				}
				_, _ = io.WriteString(c, "0\r\n\r\n")
			}()
			if _, got := c.response("POST"); got != want {
				t.Errorf("%s, chunked: %d bytes came back of %d", target, len(got), len(want))
			}
		}
	})
}

// An idle TLS connection, after some requests, costs at most 15 KiB with all that
// belongs to it on this side: structures, buffers and the stack of its goroutine.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	const n, limit = 200, 15 << 10
	h := exchange.HandlerFunc(func(ex *exchange.Exchange) { answer(ex, "x") })
	s := &Server{Handler: h}
	config := &tls.Config{Certificates: []tls.Certificate{testCert()}, MinVersion: tls.VersionTLS13}
	memory := func() int64 {
		runtime.GC()
		runtime.GC() // pools give back what they hold at the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	ended := make(chan struct{}, n)
	var clients []net.Conn
	connect := func() {
		near, far := socketPair(t)
		go func() {
			tc := tls.Server(wire.NewCork(far), config)
			if err := tc.Handshake(); err != nil {
				t.Error(err)
			}
			state := tc.ConnectionState()
			go func() { // the stack of the handshake stays behind
				s.ServeConn(tc, &exchange.Conn{TLS: &state})
				ended <- struct{}{}
			}()
		}()
		// A client that costs next to nothing itself: its TLS state is given up when
		// it has spoken.
		c := &client{Conn: tls.Client(near, &tls.Config{InsecureSkipVerify: true}), t: t}
		c.init()
		for range 3 {
			c.send("GET / HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("x", 1000) + "\r\n\r\n")
			c.expectOK("", "x")
		}
		clients = append(clients, near)
	}
	connect()
	before := memory()
	for range n {
		connect()
	}
	waitFor(t, "idle connections", func() bool {
		idling := 0
		for _, c := range s.conns.All(nil) {
			if c.recv.phase() == idle {
				idling++
			}
		}
		return idling == n+1
	})
	per := (memory() - before) / n
	t.Logf("%d bytes per idle TLS connection", per)
	if per > limit {
		t.Errorf("%d bytes per idle TLS connection, want at most %d", per, limit)
	}
	for _, c := range clients {
		_ = c.Close()
		<-ended
	}
}
