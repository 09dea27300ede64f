package middleware_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"portway/route"
)

// authService is a service that decides, and counts the connections made to it.
func authService(t *testing.T, h http.HandlerFunc) (address string, connections *atomic.Int32) {
	t.Helper()
	connections = new(atomic.Int32)
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, connections
}

// A service that does not answer in time lets nobody in.
func TestForwardAuthTooSlow(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	address, _ := authService(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	})
	defer close(done)
	w := startWire(t)
	w.serve(t, map[string]string{"portway.forward-auth": address, "portway.forward-auth.timeout": "50ms"}, "", "app.example.com")
	resp, err := w.client(t).Get("http://app.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if log := w.logged(); resp.StatusCode != http.StatusGatewayTimeout || w.forwarded != "" || !strings.Contains(log, "forward-auth: asking") {
		t.Errorf("%s, the application got %q, and the log says %s", resp.Status, w.forwarded, log)
	}
}

// A client that goes away is not waited for: the service's work ends with it.
func TestForwardAuthEndsWithTheClient(t *testing.T) {
	t.Parallel()
	asked, ended := make(chan struct{}), make(chan struct{})
	address, _ := authService(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(ended)
	})
	w := startWire(t)
	w.serve(t, map[string]string{"portway.forward-auth": address}, "", "app.example.com")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://app.example.com/", nil)
	if resp, err := w.client(t).Do(req); err == nil {
		_ = resp.Body.Close()
		t.Errorf("answered with %s", resp.Status)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the service is still asked")
	}
}

// One connection does for requests that come one after the other, whether they are let
// through or not, and a refusal of any size arrives whole.
func TestForwardAuthUsesConnectionsAgain(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("a refusal at length\n", 100_000)
	address, connections := authService(t, func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Forwarded-Uri"), "/no") {
			rw.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(rw, page)
			return
		}
		_, _ = io.WriteString(rw, strings.Repeat("ignored", 1000))
	})
	w := startWire(t)
	w.serve(t, map[string]string{"portway.forward-auth": address}, "", "app.example.com")
	c := w.client(t)
	for range 5 {
		for path, want := range map[string]string{"/": "Hello.", "/no": page} {
			resp, err := c.Get("http://app.example.com" + path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || string(got) != want {
				t.Errorf("%s: %s, %d bytes, %v", path, resp.Status, len(got), err)
			}
		}
	}
	if n := connections.Load(); n > 2 { // one may still be read to its end while the next request comes
		t.Errorf("%d connections for 10 requests", n)
	}
}

// A WebSocket is let through like any request, with the service's cookie.
func TestForwardAuthOfWebSocket(t *testing.T) {
	t.Parallel()
	address, _ := authService(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" || r.Header.Get("Connection") != "" {
			t.Errorf("the service is asked to switch protocols: %v", r.Header)
		}
		rw.Header().Set("Set-Cookie", "a=b")
		if r.Header.Get("Authorization") == "" {
			rw.WriteHeader(http.StatusUnauthorized)
		}
	})
	echo := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		typ, b, err := c.Read(r.Context())
		if err == nil {
			err = c.Write(r.Context(), typ, b)
		}
		if err != nil {
			t.Error(err)
		}
		_ = c.Close(websocket.StatusNormalClosure, "")
	}))
	defer echo.Close()
	w := startWire(t)
	w.server.SetTable(route.NewTable([]*route.Route{
		w.route(t, map[string]string{"portway.host": "app.example.com", "portway.forward-auth": address}, echo.Listener.Addr().String()),
	}, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, resp, err := websocket.Dial(ctx, "ws://app.example.com/", &websocket.DialOptions{HTTPClient: w.client(t)}); err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger's WebSocket: %v, %v", resp, err)
	}
	c, resp, err := websocket.Dial(ctx, "ws://app.example.com/", &websocket.DialOptions{
		HTTPClient: w.client(t), HTTPHeader: http.Header{"Authorization": {"Bearer x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	if got := resp.Header.Get("Set-Cookie"); got != "a=b" {
		t.Errorf("Set-Cookie: %q", got)
	}
	if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := c.Read(ctx); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
}
