package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"portway/internal/need"
	"portway/route"
)

// held is an origin whose answers end when they are released.
type held struct {
	begun   chan struct{}
	release chan struct{}
}

func newHeld() *held { return &held{make(chan struct{}, 10), make(chan struct{})} }

func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "first half, ")
	w.(http.Flusher).Flush()
	h.begun <- struct{}{}
	select {
	case <-h.release:
		_, _ = io.WriteString(w, "second half")
	case <-r.Context().Done():
	}
}

// Requests in flight finish, new connections are refused, and idle ones closed
// at once.
func TestDrain(t *testing.T) {
	t.Parallel()
	h := newHeld()
	i := serve(t, []*route.Route{at("a.test", originAt(t, h.ServeHTTP)), at("b.test", echoOrigin(t))})
	bodies := make(chan string, 2)
	for _, client := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
		go func() {
			resp, err := client.Get("https://a.test/")
			if err != nil {
				bodies <- err.Error()
				return
			}
			b, err := io.ReadAll(resp.Body)
			bodies <- fmt.Sprint(resp.Proto, " ", string(b), " ", err)
		}()
	}
	<-h.begun
	<-h.begun
	idle := i.dial(t)
	_, _ = io.WriteString(idle, "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
	r := bufio.NewReader(idle)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)

	ended := make(chan error, 1)
	go func() { ended <- i.stop() }()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection got %v", err)
	}
	if c, err := net.Dial("tcp", i.http); err == nil {
		_ = c.Close()
		t.Error("a new connection was accepted")
	}
	select {
	case err := <-ended:
		t.Fatalf("Run ended with requests in flight: %v", err)
	default:
	}
	close(h.release)
	for range 2 {
		if b := <-bodies; !strings.HasSuffix(b, " first half, second half <nil>") {
			t.Errorf("a request in flight got %q", b)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// What is not done at the end of the time is cut off, upgraded connections too.
func TestDrainLimit(t *testing.T) {
	t.Parallel()
	h := newHeld()
	i := serve(t, []*route.Route{at("a.test", originAt(t, h.ServeHTTP)), at("ws.test", originAt(t, echoSocket(t)))},
		withConfig(func(cfg *Config) { cfg.Drain = 300 * time.Millisecond }))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, "ws://ws.test:80/", &websocket.DialOptions{HTTPClient: i.client(t, onlyHTTP1)})
	if err != nil {
		t.Fatal(err)
	}
	cut := make(chan error, 3)
	go func() {
		_, _, err := socket.Read(ctx)
		cut <- err
	}()
	for _, client := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
		go func() {
			resp, err := client.Get("https://a.test/")
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			cut <- err
		}()
	}
	<-h.begun
	<-h.begun
	start := time.Now()
	err = i.stop()
	if err == nil || !strings.Contains(err.Error(), "connections were still busy") {
		t.Errorf("Run: %v", err)
	}
	if d := time.Since(start); d < 300*time.Millisecond || d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	for range 3 {
		if err := <-cut; err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a connection that was cut off ended with %v", err)
		}
	}
}

// A tunnel that ends in time ends cleanly.
func TestDrainWaitsForTunnels(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("ws.test", originAt(t, echoSocket(t)))})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, "wss://ws.test/", &websocket.DialOptions{HTTPClient: i.client(t, onlyHTTP1)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- i.stop() }()
	for { // until it drains
		c, err := net.Dial("tcp", i.http)
		if err != nil {
			break
		}
		_ = c.Close()
	}
	if err := socket.Write(ctx, websocket.MessageText, []byte("still here")); err != nil {
		t.Error(err)
	}
	if _, b, err := socket.Read(ctx); err != nil || string(b) != "still here" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := socket.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Connections in the middle of a handshake have no request to lose.
func TestDrainDropsHandshakes(t *testing.T) {
	t.Parallel()
	i := serve(t, nil)
	c := i.dialAt(t, i.https)
	for {
		i.conns.mu.Lock()
		n := len(i.conns.open)
		i.conns.mu.Unlock()
		if n == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	if err := i.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("it took %v", d)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}

// After all kinds of exchanges, finished and not, no goroutine and no connection
// is left.
func TestNothingIsLeftBehind(t *testing.T) { // not parallel: it counts
	files := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			need.Missing(t, "this system has no /proc")
		}
		return len(list)
	}
	goroutines, open := runtime.NumGoroutine(), files()
	t.Run("traffic", func(t *testing.T) {
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		mux.HandleFunc("/socket", echoSocket(t))
		mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		})
		i := serve(t, []*route.Route{at("a.test", originAt(t, mux.ServeHTTP), deadAddress(t))})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for _, client := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
			for range 5 {
				get(t, client, "https://a.test/")
				if resp, err := client.Post("https://a.test/", "x/y", &pattern{size: 1 << 20}); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if resp, err := client.Get("https://a.test/endless"); err == nil {
					_, _ = io.CopyN(io.Discard, resp.Body, 1<<20)
					_ = resp.Body.Close()
				}
			}
		}
		for range 3 {
			c, _, err := websocket.Dial(ctx, "wss://a.test/socket", &websocket.DialOptions{HTTPClient: i.client(t, onlyHTTP1)})
			if err != nil {
				t.Fatal(err)
			}
			_ = c.Write(ctx, websocket.MessageText, []byte("hello"))
			_ = c.CloseNow()
		}
		if err := i.stop(); err != nil {
			t.Error(err)
		}
	})
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > goroutines || files() > open {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after; %d files before, %d after\n%s",
				goroutines, runtime.NumGoroutine(), open, files(), buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}
