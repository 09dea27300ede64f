package h2

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"portway/proxy/exchange"
)

// tunnelTo gives exchanges one end of a TCP connection whose other end is served
// by origin.
func tunnelTo(t *testing.T, origin func(nc *net.TCPConn)) exchange.Handler {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				origin(nc.(*net.TCPConn))
				_ = nc.Close()
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); conns.Wait() })
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		if string(ex.Request.Upgrade) != "websocket" || string(ex.Request.Method) != "GET" || ex.Request.Body != nil {
			text(ex, 400, "no upgrade")
			return
		}
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			text(ex, 502, err.Error())
			return
		}
		ex.SetAborter(aborter{nc})
		ex.Response.Status, ex.Response.Tunnel = 101, nc.(*net.TCPConn)
		ex.Response.Fields.AddString("Sec-WebSocket-Protocol", "chat")
	})
}

type aborter struct{ nc net.Conn }

func (a aborter) Abort(error) { _ = a.nc.Close() }

func (c *rawClient) connect(id uint32) {
	c.headers(id, false, c.encode(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "localhost",
		":path", "/chat", "sec-websocket-version", "13", "sec-websocket-protocol", "chat"))
}

// TestWebSocket opens tunnels by extended CONNECT (RFC 8441).
func TestWebSocket(t *testing.T) {
	t.Parallel()
	ts := serve(t, true, &Server{Handler: tunnelTo(t, func(nc *net.TCPConn) {
		if _, err := io.Copy(nc, nc); err == nil {
			_ = nc.CloseWrite()
		}
	})})

	t.Run("is announced", func(t *testing.T) {
		nc, err := tls.Dial("tcp", ts.addr, clientTLS())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		_, _ = io.WriteString(nc, preface+string(appendSettings(nil)))
		f, err := http2.NewFramer(nil, nc).ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := f.(*http2.SettingsFrame).Value(http2.SettingEnableConnectProtocol); !ok || v != 1 {
			t.Errorf("ENABLE_CONNECT_PROTOCOL = %d, %v", v, ok)
		}
	})

	t.Run("echo, small and large", func(t *testing.T) {
		c := greetAs(t, dialTLS(t, ts), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
		c.must(c.fr.WriteWindowUpdate(0, 1<<24))
		c.connect(1)
		c.want("head 1 200")
		if c.field(1, "sec-websocket-protocol") != "chat" || c.field(1, "content-length") != "" {
			t.Error("head of the answer is wrong")
		}
		sent := ""
		for i := range 200 {
			m := strings.Repeat(fmt.Sprint("message ", i, " "), 1+i*i/30)
			sent += m
			waitFor(t, "window", func() bool { return windows(c, 1)+128<<10 >= len(sent) })
			for rest := m; rest != ""; {
				n := min(len(rest), maxFrame)
				c.must(c.fr.WriteData(1, false, []byte(rest[:n])))
				rest = rest[n:]
			}
			if i < 50 { // in turns
				waitFor(t, "the echo", func() bool { return c.size(1) == len(sent) })
			}
		}
		c.must(c.fr.WriteData(1, true, nil))
		for !strings.HasSuffix(c.want("data 1"), "end") {
		}
		if c.body(1) != sent {
			t.Errorf("%d bytes came back, want %d", len(c.body(1)), len(sent))
		}
		c.alive()
	})

	t.Run("many beside requests", func(t *testing.T) {
		c := greetAs(t, dialTLS(t, ts))
		for i := range 50 {
			id := uint32(2*i + 1)
			c.connect(id)
			c.want(fmt.Sprintf("head %d 200", id))
			c.must(c.fr.WriteData(id, false, []byte("x")))
			c.want(fmt.Sprintf("data %d 1", id))
		}
		c.headers(101, true, c.get())
		c.want("head 101 400")
	})
}

// TestTunnelEnds ends tunnels in all ways.
func TestTunnelEnds(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 1)
	origin := tunnelTo(t, func(nc *net.TCPConn) {
		b := make([]byte, 1)
		if _, err := nc.Read(b); err != nil {
			gone <- struct{}{}
			return
		}
		switch b[0] {
		case 'h': // half-close, and read on
			_ = nc.CloseWrite()
			_, _ = io.Copy(io.Discard, nc)
			gone <- struct{}{}
		case 'r': // reset
			_ = nc.SetLinger(0)
		case 's': // say something after the client has ended
			_, _ = io.Copy(io.Discard, nc)
			_, _ = io.WriteString(nc, "bye")
		}
	})
	patient := serve(t, false, &Server{Handler: origin})
	strict := serve(t, false, &Server{Handler: origin, Timeouts: Timeouts{Stall: time.Millisecond}}) // swept each second
	for _, tt := range []struct {
		name, want string
		run        func(c *rawClient)
		gone       bool
	}{
		{"origin closes", "data 1 0 end", func(c *rawClient) {
			c.must(c.fr.WriteData(1, false, []byte("h")))
			c.want("data 1 0 end")
			c.must(c.fr.WriteData(1, true, nil))
		}, true},
		{"origin resets", "rst 1 CONNECT_ERROR", func(c *rawClient) { c.must(c.fr.WriteData(1, false, []byte("r"))) }, false},
		{"client closes", "data 1 0 end", func(c *rawClient) { c.must(c.fr.WriteData(1, true, []byte("s"))); c.want("data 1 3") }, false},
		{"client resets", "ping ack", func(c *rawClient) { c.must(c.fr.WriteRSTStream(1, http2.ErrCodeCancel)); c.alive() }, true},
		{"client disconnects", "", func(c *rawClient) { _ = c.nc.Close() }, true},
		{"origin closes and the client stays silent", "rst 1 CANCEL", func(c *rawClient) { c.must(c.fr.WriteData(1, false, []byte("h"))) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ts := patient
			if strings.HasSuffix(tt.name, "silent") {
				ts = strict
			}
			c := ts.dial(t)
			c.connect(1)
			c.want("head 1 200")
			tt.run(c)
			if tt.want != "" && !contains(c.seen, tt.want) {
				c.want(tt.want)
			}
			if tt.gone {
				select {
				case <-gone:
				case <-time.After(patience):
					t.Error("the origin's side stays open")
				}
			}
		})
	}
	waitFor(t, "streams to end", func() bool { return patient.open()+strict.open() == 0 })
}

// open counts streams and handlers.
func (ts *testServer) open() (n int) {
	for _, c := range ts.conns.All(nil) {
		c.mu.Lock()
		n += len(c.streams) + c.handlers
		c.mu.Unlock()
	}
	return n
}
