package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"portway/route"
)

// echoSocket is a WebSocket server that sends back what it gets.
func echoSocket(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(1 << 20)
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, b); err != nil {
				return
			}
		}
	}
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, echoSocket(t)))})
	for _, url := range []string{"ws://a.test:80/", "wss://a.test/"} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: i.client(t, onlyHTTP1)})
		if err != nil {
			t.Fatal(url, err)
		}
		c.SetReadLimit(1 << 20)
		for _, size := range []int{0, 1, 125, 126, 65536, 300000} {
			message := strings.Repeat("x", size)
			if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
				t.Fatal(url, err)
			}
			if _, b, err := c.Read(ctx); err != nil || string(b) != message {
				t.Fatalf("%s: %d bytes, %v; want %d", url, len(b), err, size)
			}
		}
		if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
			t.Errorf("%s: close: %v", url, err)
		}
	}
}

// An origin may refuse an upgrade with an ordinary answer.
func TestRefusedUpgrade(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUpgradeRequired)
		_, _ = fmt.Fprint(w, r.Header.Get("Upgrade"))
	}))})
	resp, body := get(t, i.client(t, onlyHTTP1), "https://a.test/", "Connection", "Upgrade", "Upgrade", "websocket")
	if resp.StatusCode != http.StatusUpgradeRequired || body != "websocket" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

// Upgrades that would take requests past us are ignored.
func TestUpgradeToHTTP2IsIgnored(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%q %q %q", r.Header["Upgrade"], r.Header["Connection"], r.Header["Http2-Settings"])
	}))})
	for _, protocol := range []string{"h2c", "H2C", "HTTP/2.0", "TLS/1.2", "websocket, h2c"} {
		c := i.dial(t)
		_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", protocol)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK || string(b) != "[] [] []" {
			t.Errorf("%s: %d, the origin saw %s", protocol, resp.StatusCode, b)
		}
	}
}

func TestEventsArriveAtOnce(t *testing.T) {
	t.Parallel()
	next := make(chan string)
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case event := <-next:
				_, _ = fmt.Fprintf(w, "data: %s\n\n", event)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))})
	for _, client := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
		resp, err := client.Get("https://a.test/") // must not wait for the first event
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(resp.Body)
		for n := range 3 {
			event := fmt.Sprint("event ", n)
			next <- event
			if line, err := r.ReadString('\n'); err != nil || line != "data: "+event+"\n" {
				t.Fatalf("%s: got %q, %v", resp.Proto, line, err)
			}
			_, _ = r.ReadString('\n')
		}
		_ = resp.Body.Close()
	}
}

func TestEarlyHints(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("X-Final", "1")
		_, _ = io.WriteString(w, "page")
	}))})
	for _, client := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
		var hints []string
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, " ", h.Get("Link"), h.Get("X-Final")))
				return nil
			},
		})
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://a.test/", nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		if string(b) != "page" || resp.Header.Get("X-Final") != "1" || len(hints) != 1 || hints[0] != "103 </a.css>; rel=preload" {
			t.Errorf("%s: %q, hints %q", resp.Proto, b, hints)
		}
	}
}

func TestTrailers(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		_, _ = fmt.Fprintf(w, "%s/%s", b, r.Trailer.Get("X-In"))
		w.Header().Set("X-Sum", "42")
	}))})
	for _, client := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
		req, _ := http.NewRequest(http.MethodPost, "https://a.test/", io.MultiReader(strings.NewReader("body")))
		req.Trailer = http.Header{"X-In": {"after"}}
		req.Header.Set("TE", "trailers")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != "body/after" || resp.Trailer.Get("X-Sum") != "42" {
			t.Errorf("%s: %q, %v, trailers %v", resp.Proto, b, err, resp.Trailer)
		}
	}
}

// gRPC in all but name: two directions of one HTTP/2 request, each message at
// once, trailers at the end.
func TestTwoWayStreamOverHTTP2(t *testing.T) {
	t.Parallel()
	o := originH2C(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			t.Errorf("%s, TE %q", r.Proto, r.Header.Get("Te"))
		}
		w.Header().Set("Content-Type", "application/grpc")
		if r.URL.Path == "/trailers-only" {
			w.Header().Set("Grpc-Status", "12")
			return
		}
		w.(http.Flusher).Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			_, _ = fmt.Fprintf(w, "echo %s\n", lines.Text())
			w.(http.Flusher).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	i := serve(t, []*route.Route{with(at("a.test", o), func(r *route.Route) { r.Upstreams[0].Scheme = route.H2C })})
	client := i.client(t)
	r, w := io.Pipe()
	req, _ := http.NewRequest(http.MethodPost, "https://a.test/service/Method", r)
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	resp, err := client.Do(req) // while the request goes on
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(resp.Body)
	for n := range 5 {
		_, _ = fmt.Fprintf(w, "message %d\n", n)
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("echo message %d\n", n) {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	_ = w.Close()
	if b, err := io.ReadAll(lines); err != nil || len(b) > 0 || resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("end: %q, %v, trailers %v", b, err, resp.Trailer)
	}

	req, _ = http.NewRequest(http.MethodPost, "https://a.test/trailers-only", strings.NewReader("x"))
	req.Header.Set("TE", "trailers")
	resp, err = client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || len(b) > 0 || resp.Header.Get("Grpc-Status") != "12" {
		t.Errorf("trailers-only: %q, %v, %v", b, err, resp.Header)
	}
}

func TestContinue(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{
		at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })),
		with(at("redirect.test", deadAddress(t)), func(r *route.Route) { r.HTTPS = route.Redirect }),
	})
	ask := func(host string) (string, *bufio.Reader, net.Conn) {
		c := i.dial(t)
		_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", host)
		r := bufio.NewReader(c)
		line, _ := r.ReadString('\n')
		return strings.TrimSpace(line), r, c
	}
	line, r, c := ask("a.test")
	if line != "HTTP/1.1 100 Continue" {
		t.Fatalf("got %q", line)
	}
	_, _ = r.ReadString('\n')
	_, _ = io.WriteString(c, "hello")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(b) != "hello" {
		t.Errorf("got %d %q", resp.StatusCode, b)
	}
	if line, _, _ = ask("redirect.test"); !strings.HasPrefix(line, "HTTP/1.1 308") {
		t.Errorf("a request that is not wanted got %q", line)
	}
}

// When the client goes away, the origin is told: before the head, in the middle
// of a download, and in the middle of an upload.
func TestClientAbort(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	i := serve(t, []*route.Route{at("a.test", originAt(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/waits":
			begun <- struct{}{}
		case "/download":
			_, _ = w.Write([]byte("first"))
			w.(http.Flusher).Flush()
			begun <- struct{}{}
		case "/upload":
			_, _ = io.ReadFull(r.Body, make([]byte, 5))
			begun <- struct{}{}
			_, err := io.ReadAll(r.Body)
			if err == nil {
				ended <- errors.New("the upload looks complete")
				return
			}
		}
		<-r.Context().Done()
		ended <- nil
	}))})
	for _, client := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
		for _, path := range []string{"/waits", "/download", "/upload"} {
			ctx, cancel := context.WithCancel(context.Background())
			method, body := "GET", io.Reader(nil)
			if path == "/upload" {
				r, w := io.Pipe()
				go func() { _, _ = io.WriteString(w, "start") }()
				context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) }) // net/http's client waits for it
				method, body = "POST", r
			}
			req, _ := http.NewRequestWithContext(ctx, method, "https://a.test"+path, body)
			go func() { <-begun; cancel() }()
			if resp, err := client.Do(req); err == nil {
				_, _ = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: the origin was never told", path)
			}
		}
	}
	if err := i.stop(); err != nil {
		t.Error(err)
	}
	if log := i.log.String(); strings.Contains(log, "WARN") {
		t.Errorf("a client that goes away is no reason to warn: %s", log)
	}
}
