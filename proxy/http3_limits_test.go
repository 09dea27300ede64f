package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"portway/route"
)

// connection3 opens an HTTP/3 connection of its own to i.
func (i *instance) connection3(t *testing.T) (*quic.Conn, *http3.ClientConn) {
	t.Helper()
	cfg := &tls.Config{RootCAs: i.certs.roots, ServerName: "a.test", NextProtos: []string{http3.NextProtoH3}}
	c, err := quic.DialAddr(t.Context(), i.https, cfg, &quic.Config{MaxIdleTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	return c, new(http3.Transport).NewClientConn(c)
}

// WebSocket comes by extended CONNECT (RFC 9220), which quic-go always offers.
func TestHTTP3WebSocket(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, echoSocket(t))), at("b.test", echoOrigin(t))}, withHTTP3)
	_, c := i.connection3(t)
	open := func(host string) (*http3.RequestStream, *http.Response) {
		s, err := c.OpenRequestStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = s.SetDeadline(time.Now().Add(20 * time.Second))
		req, _ := http.NewRequest(http.MethodConnect, "https://"+host+"/chat", nil)
		req.Proto = "websocket"
		req.Header.Set("Sec-WebSocket-Version", "13")
		if err := s.SendRequestHeader(req); err != nil {
			t.Fatal(err)
		}
		resp, err := s.ReadResponse()
		if err != nil {
			t.Fatal(err)
		}
		return s, resp
	}
	s, resp := open("a.test")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Sec-WebSocket-Accept") != "" {
		t.Fatalf("got %v", resp)
	}
	for _, frame := range []struct{ sent, want string }{
		{"\x81\x82\x00\x00\x00\x00hi", "\x81\x02hi"},             // text, masked with zeros
		{"\x88\x82\x00\x00\x00\x00\x03\xe8", "\x88\x02\x03\xe8"}, // close 1000
	} {
		_, _ = io.WriteString(s, frame.sent)
		b := make([]byte, len(frame.want))
		if _, err := io.ReadFull(s, b); err != nil || string(b) != frame.want {
			t.Fatalf("%q %v, want %q", b, err, frame.want)
		}
	}
	if b, err := io.ReadAll(s); err != nil || len(b) > 0 {
		t.Errorf("behind the close: %q %v", b, err)
	}
	if _, resp := open("b.test"); resp.StatusCode == http.StatusSwitchingProtocols {
		t.Errorf("an origin that does not switch: %v", resp)
	}
}

// An ordinary CONNECT leads nowhere.
func TestHTTP3Connect(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))}, withHTTP3)
	_, c := i.connection3(t)
	req, _ := http.NewRequest(http.MethodConnect, "https://a.test:443", nil)
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusNotImplemented {
		t.Errorf("got %v", resp)
	}
}

func TestHTTP3HeadLimit(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))}, withHTTP3)
	for size, want := range map[int]int{maxHead / 2: 200, maxHead + 1: 431} {
		req, _ := http.NewRequest(http.MethodGet, "https://a.test/", nil)
		req.Header.Set("Big", strings.Repeat("x", size))
		resp, err := i.client3(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d bytes of head: %d, want %d", size, resp.StatusCode, want)
		}
	}
}

// A client that is silent in the middle of its upload is let go.
func TestHTTP3SlowBody(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))}, withServer(func(s *Server) { s.limits.idle = 500 * time.Millisecond }), withHTTP3,
		withServer(func(s *Server) { s.http3 = s.newHTTP3() }))
	body, w := io.Pipe()
	defer func() { _ = w.Close() }()
	go func() { _, _ = io.WriteString(w, "some") }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://a.test/", body)
	req.ContentLength = 1000
	start := time.Now()
	resp, err := i.client3(t).Do(req)
	if err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestTimeout {
			t.Errorf("got %v", resp)
		}
	} else if ctx.Err() != nil {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// An idle connection is closed, one with a silent answer is not.
func TestHTTP3Idle(t *testing.T) {
	t.Parallel()
	h := newHeld()
	i := serve(t, []*route.Route{at("a.test", originAt(t, h.ServeHTTP))}, withHTTP3, withServer(func(s *Server) {
		s.limits.keepAlive = 300 * time.Millisecond
		s.http3 = s.newHTTP3()
	}))
	idle, _ := i.connection3(t)
	_, busy := i.connection3(t)
	req, _ := http.NewRequest(http.MethodGet, "https://a.test/", nil)
	resp, err := busy.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-idle.Context().Done():
	case <-time.After(10 * time.Second):
		t.Error("the idle connection is open")
	}
	time.Sleep(600 * time.Millisecond)
	close(h.release)
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "first half, second half" {
		t.Errorf("the silent answer: %q %v", b, err)
	}
}
