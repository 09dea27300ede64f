package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func start(t *testing.T) *httptest.Server {
	t.Helper()
	stop := make(chan struct{})
	server := httptest.NewServer(newApp("test", ":8080", stop))
	t.Cleanup(func() { close(stop); server.Close() })
	return server
}

func get(t *testing.T, url, accept string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Attack", "<script>alert(1)</script>")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestFacts(t *testing.T) {
	t.Parallel()
	server := start(t)
	for _, tc := range []struct{ name, accept, contentType, want string }{
		{"curl", "*/*", "text/plain", "Scheme: https\n"},
		{"browser", "text/html,application/xhtml+xml", "text/html", "&lt;script&gt;alert(1)&lt;/script&gt;"},
		{"program", "application/json", "application/json", `"scheme": "https"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			resp, body := get(t, server.URL+"/some/path?q=1", tc.accept)
			if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, tc.contentType) {
				t.Errorf("Content-Type %q, want %s", got, tc.contentType)
			}
			if !strings.Contains(body, tc.want) || !strings.Contains(body, "/some/path?q=1") {
				t.Errorf("no %q or no path in:\n%s", tc.want, body)
			}
		})
	}
}

func TestWebSocketEcho(t *testing.T) {
	t.Parallel()
	c, _, err := websocket.Dial(t.Context(), start(t).URL+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	for _, message := range []string{"hello", strings.Repeat("long ", 100_000)} {
		c.SetReadLimit(1 << 20)
		if err := c.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		kind, got, err := c.Read(t.Context())
		if err != nil || kind != websocket.MessageText || string(got) != message {
			t.Fatalf("echo of %d bytes: %v, %d bytes, %v", len(message), kind, len(got), err)
		}
	}
}

// Events must arrive one by one, not when a buffer is full.
func TestEventsAreFlushed(t *testing.T) {
	t.Parallel()
	resp, err := http.Get(start(t).URL + "/events?n=2&every=10ms")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var ids []string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			ids = append(ids, id)
		}
	}
	if fmt.Sprint(ids) != "[1 2]" || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("events %v as %s", ids, resp.Header.Get("Content-Type"))
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("portway"), 1<<18)
	resp, err := http.Post(start(t).URL+"/upload", "application/octet-stream", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got struct {
		Bytes  int
		SHA256 string
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(content); got.Bytes != len(content) || got.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("got %+v for %d bytes, %x", got, len(content), sum)
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	server := start(t)
	for size, want := range map[string]int{"": 1 << 20, "0": 0, "1": 1, "100": 100, "3MiB": 3 << 20} {
		resp, body := get(t, server.URL+"/download?size="+size, "")
		if len(body) != want || resp.ContentLength != int64(want) {
			t.Errorf("size=%s: %d bytes, Content-Length %d, want %d", size, len(body), resp.ContentLength, want)
		}
	}
	if _, body := get(t, server.URL+"/download?size=100", ""); !strings.HasPrefix(body[37:], "0123456789abc") {
		t.Errorf("the text does not repeat: %q", body)
	}
}

func TestWrongParameters(t *testing.T) {
	t.Parallel()
	server := start(t)
	for _, query := range []string{
		"/download?size=-1", "/download?size=10XB", "/download?size=MiB", "/download?size=9999999GiB",
		"/slow?delay=soon", "/slow?delay=-1s", "/events?n=many", "/events?every=0s",
	} {
		if resp, body := get(t, server.URL+query, ""); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "is not a") {
			t.Errorf("%s: %s: %s", query, resp.Status, body)
		}
	}
}

func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := httptest.NewRecorder()
		newApp("test", ":8080", nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/slow?delay=90s", nil))
		if took := time.Since(began); took != 90*time.Second || w.Code != http.StatusOK {
			t.Errorf("%d after %s", w.Code, took)
		}
	})
}

// Long answers must end when the container is stopped, or docker stop waits
// and then kills.
func TestStopEndsLongAnswers(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	server := httptest.NewServer(newApp("test", ":8080", stop))
	defer server.Close()
	events, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = events.Body.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, server.URL+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	close(stop)
	if _, err := io.ReadAll(events.Body); err != nil {
		t.Errorf("events did not end cleanly: %v", err)
	}
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("WebSocket ended with %v, want status %d", err, websocket.StatusGoingAway)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	server := start(t)
	if err := run([]string{server.Listener.Addr().String()}, "", nil, false, true); err != nil {
		t.Errorf("check of a healthy whoami: %v", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	if err := run([]string{free.Addr().String()}, "", nil, false, true); err == nil {
		t.Error("check succeeds where nobody listens")
	}
	if got := local(":8080"); got != "127.0.0.1:8080" {
		t.Errorf("local(:8080) = %s", got)
	}
}

func TestLogged(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	h := logged(newApp("test", ":8080", nil), &b)
	for _, target := range []string{"/a?b=c", "/health"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
	}
	if got := b.String(); got != "GET \"/a?b=c\"\n" {
		t.Errorf("log:\n%s", got)
	}
}

// A client that others wrote takes the answer for what it should be.
func TestGRPCHealth(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(newApp("test", ":8080", make(chan struct{})))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	conn, err := grpc.NewClient(server.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "jobs"})
	if err != nil || answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", answer, err)
	}
}

func TestKnowing(t *testing.T) {
	t.Parallel()
	h := knowing(newApp("test", ":8080", nil), []string{"a.example", "b.example"})
	for target, want := range map[string]int{
		"/serves?domain=b.example": 200, "/serves?domain=c.example": 404, "/serves?domain=": 404, "/serves": 404, "/?domain=c.example": 200,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
	w := httptest.NewRecorder()
	knowing(h, []string{""}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/serves?domain=", nil))
	if w.Code != 404 {
		t.Errorf("without customers: %d", w.Code)
	}
}
