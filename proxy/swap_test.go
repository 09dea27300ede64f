package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"portway/internal/wstest"
	"portway/route"
)

// 1,000 tables come and go while requests, WebSockets over HTTP/1.1 and HTTP/2, an
// event stream and a two-way HTTP/2 stream are under way. Their route stays, its replicas change:
// nothing may fail.
func TestTableSwapsDisturbNobody(t *testing.T) {
	t.Parallel()
	const swaps = 1000
	events := make(chan int)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("/socket", echoSocket(t))
	mux.HandleFunc("/events", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		for n := range events {
			_, _ = fmt.Fprintln(w, n)
			w.(http.Flusher).Flush()
		}
	})
	var origins []string
	for range 3 {
		origins = append(origins, originAt(t, mux.ServeHTTP))
	}
	twoWay := originH2C(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			_, _ = fmt.Fprintln(w, lines.Text())
			w.(http.Flusher).Flush()
		}
	})
	routes := func(n int) []*route.Route {
		stays := at("stays.test", origins[n%3])
		if n%2 == 0 {
			stays = at("stays.test", origins...)
		}
		list := []*route.Route{stays, with(at("h2c.test", twoWay), func(r *route.Route) { r.Upstreams[0].Scheme = route.H2C })}
		for i := range n % 5 {
			list = append(list, at(fmt.Sprintf("other%d.test", i), origins[i%3]))
		}
		return list
	}
	i := serve(t, routes(0))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	socket, _, err := websocket.Dial(ctx, "wss://stays.test/socket", &websocket.DialOptions{HTTPClient: i.client(t, onlyHTTP1)})
	if err != nil {
		t.Fatal(err)
	}
	over2 := i.socketOver2(t, "stays.test", "/socket")
	stream, err := i.client(t).Get("https://stays.test/events")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stream.Body)
	in, out := io.Pipe()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://h2c.test/", in)
	both, err := i.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(both.Body)

	done := make(chan struct{})
	var wg sync.WaitGroup
	var requests atomic.Int64
	for _, client := range []*http.Client{i.client(t), i.client(t, onlyHTTP1)} {
		for range 2 {
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-done:
						return
					default:
					}
					message := fmt.Sprint("message ", n)
					if err := exchangeOne(ctx, client, message); err != nil {
						t.Error(err)
						return
					}
					requests.Add(1)
				}
			})
		}
	}
	for n := range swaps {
		i.SetTable(route.NewTable(routes(n), nil))
		if n%20 != 0 {
			continue
		}
		message := fmt.Sprint("message ", n)
		if err := socket.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			t.Fatal("WebSocket: ", err)
		}
		if _, b, err := socket.Read(ctx); err != nil || string(b) != message {
			t.Fatalf("WebSocket: %q, %v", b, err)
		}
		over2.Send(wstest.Frame{Opcode: wstest.Text, Payload: []byte(message)})
		over2.Expect(wstest.Frame{Opcode: wstest.Text, Payload: []byte(message)})
		events <- n
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintln(n) {
			t.Fatalf("events: %q, %v", line, err)
		}
		_, _ = fmt.Fprintln(out, message)
		if line, err := answers.ReadString('\n'); err != nil || line != message+"\n" {
			t.Fatalf("two ways: %q, %v", line, err)
		}
	}
	close(done)
	wg.Wait()
	close(events)
	_ = out.Close()
	_ = socket.CloseNow()
	_ = over2.Close()
	t.Logf("%d requests during %d swaps", requests.Load(), swaps)
	if requests.Load() < 50 {
		t.Errorf("only %d requests were made", requests.Load())
	}
}

// socketOver2 opens a WebSocket over HTTP/2.
func (i *instance) socketOver2(t *testing.T, host, path string) *wstest.End {
	t.Helper()
	nc := tls.Client(i.dialAt(t, i.https), &tls.Config{RootCAs: i.certs.roots, ServerName: host, NextProtos: []string{"h2"}})
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	c, resp, err := wstest.DialHTTP2(nc, host, path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("WebSocket over HTTP/2: status %d", resp.StatusCode)
	}
	e := wstest.NewEnd(t, "WebSocket over HTTP/2", c, resp.Header)
	e.Mask = true
	return e
}

func exchangeOne(ctx context.Context, client *http.Client, message string) error {
	method, body := "GET", io.Reader(http.NoBody)
	if len(message)%2 == 0 {
		method = "POST"
		r, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, message); _ = w.Close() }()
		body = r
	} else {
		message = ""
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://stays.test/", body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: %d %q: %w", resp.Proto, resp.StatusCode, b, err)
	}
	if resp.StatusCode != http.StatusOK || string(b) != message {
		return fmt.Errorf("%s: %d %q, want %q", resp.Proto, resp.StatusCode, b, message)
	}
	return nil
}
