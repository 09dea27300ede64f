package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"portway/proxy/exchange"
)

// upgrading asks for an upgrade to proto.
func upgrading(proto string) *exchange.Exchange {
	ex := newExchange("GET", "/ws")
	ex.Request.Upgrade = []byte(proto)
	return ex
}

func TestTunnel(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		handle := func(c net.Conn, r *bufio.Reader, _ int) {
			q, err := http.ReadRequest(r)
			if err != nil || q.Header.Get("Upgrade") != "foo/2" || q.Header.Get("Connection") != "Upgrade" {
				say(c, "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")
				return
			}
			// The first bytes come together with the head.
			say(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: FOO/2\r\nConnection: upgrade\r\nX: y\r\n\r\nhello ")
			_, _ = io.Copy(c, r)
			say(c, "bye")
		}
		var o *origin
		cfg := Config{}
		if secure {
			o = listenTLS(t, nil, handle)
			cfg = Config{Scheme: "https", TLS: trusting()}
		} else {
			o = listen(t, handle)
		}
		p := o.pool(t, cfg)
		ex := upgrading("foo/2")
		if err := p.RoundTrip(ex); err != nil {
			t.Fatal(err)
		}
		r := &ex.Response
		if r.Status != 101 || flat(&r.Fields) != "x=y" || r.Tunnel == nil || r.Body != nil {
			t.Fatalf("%+v", r)
		}
		body := pattern(1 << 20)
		ex.Go(func() {
			_, _ = r.Tunnel.Write(body)
			_ = r.Tunnel.CloseWrite()
		})
		// A tunnel may be silent for long.
		newClock(p).pass(time.Hour)
		got, err := io.ReadAll(r.Tunnel)
		if want := fmt.Appendf(nil, "hello %sbye", body); !bytes.Equal(got, want) || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		_ = r.Tunnel.Close()
		ex.Finish(0, nil)
		if s := p.Stats(); s.Open != 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestUpgradeAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, proto, answer string
		status              int
		text                string
	}{
		{"refused", "websocket", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, ""},
		{"ignored", "foo", okAnswer, 200, ""},
		{"another protocol", "foo", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: bar\r\nConnection: upgrade\r\n\r\n", 0, "nobody asked for"},
		{"no protocol named", "foo", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, "nobody asked for"},
		{"accepted without understanding", "websocket", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", 0, "wrong Sec-WebSocket-Accept"},
	}
	for _, tt := range tests {
		o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
			for skipRequest(r) {
				say(c, tt.answer)
			}
		})
		p := o.pool(t, Config{})
		res := run(p, upgrading(tt.proto))
		if res.status != tt.status {
			t.Errorf("%s: %+v", tt.name, res)
		}
		if tt.text != "" {
			wantErr(t, res.err, ErrProtocol, tt.text)
		}
	}
}

// A WebSocket that came over HTTP/2 has no handshake key; HTTP/1.1 needs one.
func TestWebSocketKey(t *testing.T) {
	t.Parallel()
	o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		say(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: "+
			wsAccept([]byte(q.Header.Get("Sec-WebSocket-Key")))+"\r\nKeys: "+fmt.Sprint(q.Header["Sec-Websocket-Key"])+"\r\n\r\n")
	})
	p := o.pool(t, Config{})
	tests := []struct{ key, accept, keys string }{
		// The example of RFC 6455 section 1.3.
		{"dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "[dGhlIHNhbXBsZSBub25jZQ==]"},
		{"", "", ""},
	}
	for _, tt := range tests {
		ex := upgrading("websocket")
		if tt.key != "" {
			ex.Request.Fields.AddString("Sec-WebSocket-Key", tt.key)
		}
		if err := p.RoundTrip(ex); err != nil {
			t.Fatal(err)
		}
		f := &ex.Response.Fields
		if got := string(f.Get("sec-websocket-accept")); got != tt.accept {
			t.Errorf("accept %q, want %q", got, tt.accept)
		}
		if keys := string(f.Get("keys")); tt.keys != "" && keys != tt.keys || len(keys) != 26 {
			t.Errorf("keys %s", keys)
		}
		ex.Finish(0, nil)
	}
}

// h2cConnect is an origin that takes extended CONNECT and echoes in capitals.
func h2cConnect(t *testing.T, enabled uint32, status string) *origin {
	settings := []http2.Setting{{ID: http2.SettingEnableConnectProtocol, Val: enabled}}
	return listenFrames(t, settings, func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
		id := h.StreamID
		if err := answer2(f, id, false, ":status", status, "x", "y"); err != nil {
			return err
		}
		if status != "200" {
			return f.WriteData(id, true, []byte("no"))
		}
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return err
			}
			if data, ok := frame.(*http2.DataFrame); ok {
				_ = f.WriteData(id, data.StreamEnded(), bytes.ToUpper(data.Data()))
				if data.StreamEnded() {
					return nil
				}
			}
		}
	})
}

func TestUpgradeOverH2C(t *testing.T) {
	t.Parallel()
	p := h2cConnect(t, 1, "200").pool(t, Config{Scheme: "h2c"})
	ex := upgrading("websocket")
	ex.Request.Fields.AddString("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if err := p.RoundTrip(ex); err != nil {
		t.Fatal(err)
	}
	r := &ex.Response
	if r.Status != 101 || r.Tunnel == nil || flat(&r.Fields) != "x=y sec-websocket-accept=s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%+v %s", r, flat(&r.Fields))
	}
	buf := make([]byte, 100)
	for _, s := range []string{"hello", "world"} {
		if _, err := io.WriteString(r.Tunnel, s); err != nil {
			t.Fatal(err)
		}
		n, err := r.Tunnel.Read(buf)
		if got := string(buf[:n]); got != string(bytes.ToUpper([]byte(s))) || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	_ = r.Tunnel.CloseWrite()
	if n, err := r.Tunnel.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
	_ = r.Tunnel.Close()
	ex.Finish(0, nil)

	refused := h2cConnect(t, 1, "403").pool(t, Config{Scheme: "h2c"})
	if res := run(refused, upgrading("websocket")); res.status != 403 || res.body != "no" {
		t.Errorf("%+v", res)
	}
	unable := h2cConnect(t, 0, "200").pool(t, Config{Scheme: "h2c"})
	wantErr(t, run(unable, upgrading("websocket")).err, ErrProtocol, "no upgrades over HTTP/2")
}

// A client that goes away ends the tunnel.
func TestCancelTunnel(t *testing.T) {
	t.Parallel()
	h1 := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
		skipRequest(r)
		say(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	}).pool(t, Config{})
	h2 := h2cConnect(t, 1, "200").pool(t, Config{Scheme: "h2c"})
	for _, p := range []*Pool{h1, h2} {
		ex := upgrading("foo")
		if err := p.RoundTrip(ex); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := ex.Response.Tunnel.Read(make([]byte, 1))
			done <- err
		}()
		ex.Cancel(exchange.ErrClientGone)
		if err := <-done; err == nil {
			t.Error("read something")
		}
		_ = ex.Response.Tunnel.Close()
		ex.Finish(0, nil)
	}
}
