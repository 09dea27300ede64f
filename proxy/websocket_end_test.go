package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"portway/internal/wstest"
	"portway/route"
)

// TestWebSocketBreaks: whoever breaks off, the other side is told at once, and can
// tell that it is no good-bye.
func TestWebSocketBreaks(t *testing.T) {
	t.Parallel()
	s := serveWebSockets(t)
	cut := wstest.Frame{Opcode: wstest.Binary, Payload: wstest.Payload(1<<20, false)}.Append(nil)[:300000]
	greet := wstest.Frame{Opcode: wstest.Text, Payload: []byte("hello")}
	for _, row := range []struct {
		name         string
		client       bool // breaks, not the origin
		how          func(e *wstest.End)
		only         func(f wsFront) bool
		middle, bare bool // in the middle of a frame; before any frame
	}{
		{name: "client resets", client: true, how: (*wstest.End).Abort},
		{name: "client resets at once", client: true, how: (*wstest.End).Abort, bare: true},
		{name: "client resets in a frame", client: true, how: (*wstest.End).Abort, middle: true},
		{name: "client vanishes", client: true, how: func(e *wstest.End) { _ = e.Close() }, only: func(f wsFront) bool { return f.http2 }},
		{name: "client's connection is reset", client: true, how: func(e *wstest.End) { e.Conn.(*wstest.HTTP2).Reset() }, only: func(f wsFront) bool { return f.http2 }},
		{name: "origin resets", how: (*wstest.End).Abort},
		{name: "origin resets at once", how: (*wstest.End).Abort, bare: true},
		{name: "origin resets in a frame", how: (*wstest.End).Abort, middle: true},
	} {
		for _, front := range wsFronts {
			if row.only != nil && !row.only(front) {
				continue
			}
			t.Run(row.name+" over "+front.name, func(t *testing.T) {
				t.Parallel()
				client, origin := s.pair(t, front, wsRow{})
				breaks, other := origin, client
				if row.client {
					breaks, other = client, origin
				}
				if !row.bare {
					breaks.Send(greet)
					other.Expect(greet)
				}
				if row.middle {
					breaks.SendRaw(cut)
				}
				begun := time.Now()
				row.how(breaks)
				err := other.ExpectBroken()
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("told after %v", took)
				}
				// (crypto/tls makes no difference between the two at the end of a record.)
				if !row.client && front.http2 && err == io.EOF {
					t.Error("a client was told of a good-bye that there was not")
				}
			})
		}
	}
}

// An origin that does not want a WebSocket says so with an ordinary answer.
func TestWebSocketRefused(t *testing.T) {
	t.Parallel()
	s := serveWebSockets(t)
	for _, front := range wsFronts {
		for _, status := range []int{200, 400, 401, 403, 404, 426, 500, 503} {
			t.Run(fmt.Sprint(status, " over ", front.name), func(t *testing.T) {
				t.Parallel()
				text := strings.Repeat("no thanks ", 1000)
				path := s.expect(func(a *arrived) {
					_, _ = fmt.Fprintf(a.Conn, "HTTP/1.1 %d No\r\nX-Why: mood\r\nSec-WebSocket-Version: 13\r\nContent-Length: %d\r\n\r\n%s", status, len(text), text)
				})
				c, resp := s.open(t, front, path, nil, nil)
				b, err := io.ReadAll(resp.Body)
				if front.http2 && status == 200 {
					// Over HTTP/2, 200 would say that the WebSocket is open.
					if resp.StatusCode != http.StatusBadGateway {
						t.Errorf("got %d %.50q", resp.StatusCode, b)
					}
					return
				}
				if err != nil || resp.StatusCode != status || string(b) != text || resp.Header.Get("X-Why") != "mood" || resp.Header.Get("Sec-Websocket-Version") != "13" {
					t.Errorf("got %d %v %.50q, %v", resp.StatusCode, resp.Header, b, err)
				}
				_ = c.Close()
			})
		}
	}
}

// The proof that the origin understood is for the client to check; over HTTP/2,
// which has none, Portway does.
func TestWebSocketProof(t *testing.T) {
	t.Parallel()
	s := serveWebSockets(t)
	for _, front := range wsFronts {
		for _, proof := range []string{wstest.Accept("another key"), "x"} {
			path := s.expect(func(a *arrived) {
				_ = a.Agree(a.req, http.Header{"Sec-Websocket-Accept": {proof}}, nil)
				_, _ = io.Copy(io.Discard, a)
			})
			c, resp := s.open(t, front, path, nil, nil)
			switch {
			case front.http2 && resp.StatusCode != http.StatusBadGateway:
				t.Errorf("%s: a wrong proof gave %d", front.name, resp.StatusCode)
			case !front.http2 && (resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Accept") != proof):
				t.Errorf("%s: %d %v", front.name, resp.StatusCode, resp.Header)
			}
			_ = c.Close()
		}
	}
}

// Pings are answered while one side sends without a pause.
func TestWebSocketPingsWhileStreaming(t *testing.T) {
	t.Parallel()
	s := serveWebSockets(t)
	const messages, pings = 400, 50
	frame := func(n int) wstest.Frame {
		return wstest.Frame{Opcode: wstest.Binary, Payload: wstest.Payload(16<<10+n, false)}
	}
	ping := wstest.Frame{Opcode: wstest.Ping, Payload: []byte("still there?")}
	pong := wstest.Frame{Opcode: wstest.Pong, Payload: ping.Payload}
	for _, front := range wsFronts {
		for _, up := range []bool{false, true} {
			t.Run(fmt.Sprint(front.name, ", up: ", up), func(t *testing.T) {
				t.Parallel()
				client, origin := s.pair(t, front, wsRow{})
				streams, other := origin, client
				if up {
					streams, other = client, origin
				}
				var wg sync.WaitGroup
				var sending sync.Mutex
				wg.Go(func() { // the stream
					for n := range messages {
						sending.Lock()
						streams.Send(frame(n))
						sending.Unlock()
					}
				})
				wg.Go(func() { // what answers pings on the streaming side
					for range pings {
						streams.Expect(ping)
						sending.Lock()
						streams.Send(pong)
						sending.Unlock()
					}
				})
				wg.Go(func() {
					for range pings {
						other.Send(ping)
					}
				})
				for got, pongs := 0, 0; got < messages || pongs < pings; {
					f := other.Next()
					f.Masked, f.Key = false, [4]byte{}
					switch {
					case f.Equal(pong):
						pongs++
					case f.Equal(frame(got)):
						got++
					default:
						t.Fatalf("got %v behind %d messages and %d pongs", f, got, pongs)
					}
				}
				wg.Wait()
				wg.Go(func() { streams.Finish() })
				other.Finish()
				wg.Wait()
				if err := wstest.Same(client, origin); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A library at both ends, with compression, as applications have it.
func TestWebSocketLibraries(t *testing.T) {
	t.Parallel()
	for _, mode := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover} {
		address := originAt(t, func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, CompressionMode: mode, CompressionThreshold: 1})
			if err != nil {
				t.Error(err)
				return
			}
			c.SetReadLimit(2 << 20)
			for {
				kind, b, err := c.Read(r.Context())
				if err != nil {
					if websocket.CloseStatus(err) != 4321 {
						t.Errorf("the origin's library: %v", err)
					}
					return
				}
				if err := c.Write(r.Context(), kind, b); err != nil {
					t.Error(err)
				}
			}
		})
		i := &wsServer{instance: serve(t, []*route.Route{at("ws.test", address)})}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, url := range []string{"ws://ws.test:80/", "wss://ws.test/"} {
			c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
				HTTPClient: i.client(t, onlyHTTP1), Subprotocols: []string{"chat"}, CompressionMode: mode, CompressionThreshold: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			c.SetReadLimit(2 << 20)
			for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
				text := wstest.Payload(n, true)
				if err := c.Write(ctx, websocket.MessageText, text); err != nil {
					t.Fatal(err)
				}
				if kind, b, err := c.Read(ctx); err != nil || kind != websocket.MessageText || string(b) != string(text) {
					t.Fatalf("%d bytes came back as %d, %v", n, len(b), err)
				}
			}
			if err := c.Close(4321, "enough"); err != nil || c.Subprotocol() != "chat" {
				t.Errorf("%v, sub-protocol %q", err, c.Subprotocol())
			}
		}
		// The library's end over HTTP/2, which it does not speak as a client.
		conn, resp := i.open(t, wsFront{http2: true, tls: true}, "/", http.Header{"Sec-Websocket-Protocol": {"chat"}}, nil)
		if resp.StatusCode != 200 || resp.Header.Get("Sec-Websocket-Protocol") != "chat" {
			t.Fatalf("%d %v", resp.StatusCode, resp.Header)
		}
		c := wstest.NewEnd(t, "client", conn, resp.Header)
		c.Mask = true
		big := wstest.Frame{Opcode: wstest.Text, Payload: wstest.Payload(1<<20, true)}
		c.Send(big)
		c.Expect(big)
		c.Send(wstest.Frame{Opcode: wstest.Ping, Payload: []byte("p")})
		c.Expect(wstest.Frame{Opcode: wstest.Pong, Payload: []byte("p")})
		c.Send(wstest.CloseFrame(4321, ""))
		c.Expect(wstest.CloseFrame(4321, ""))
		c.ExpectEnd()
		_ = c.Close()
	}
}
