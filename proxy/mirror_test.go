package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"portway/label"
	"portway/proxy/exchange"
	"portway/route"
)

// seenRequest is a request as an origin saw it.
type seenRequest struct {
	line, body string
	header     http.Header
	trailer    http.Header
}

// recorder is an origin that keeps what it gets.
type recorder struct {
	address string
	mu      sync.Mutex
	all     []seenRequest
	came    chan struct{} // holds one after each request
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{came: make(chan struct{}, 10_000)}
	r.address = originAt(t, func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.all = append(r.all, seenRequest{fmt.Sprint(q.Method, " ", q.RequestURI, " ", q.Host, " ", q.ContentLength), string(b), q.Header, q.Trailer})
		r.mu.Unlock()
		w.Header().Set("X-Shadow", "yes")
		_, _ = io.WriteString(w, "shadow")
		r.came <- struct{}{}
	})
	return r
}

func (r *recorder) requests() []seenRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// next waits for a request.
func (r *recorder) next(t *testing.T) seenRequest {
	t.Helper()
	select {
	case <-r.came:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was mirrored within 20 s")
	}
	all := r.requests()
	return all[len(all)-1]
}

// idle waits until a mirror has nothing to do.
func (i *instance) idle(t *testing.T, name string) {
	t.Helper()
	await(t, "nothing in flight to the mirror", func() bool { return i.table.Load().byID[name].mirror.inFlight.Load() == 0 })
}

// A mirror gets what the route gets, to the last field, and nobody sees what it
// answers.
func TestMirroredRequest(t *testing.T) {
	t.Parallel()
	main, shadow := newRecorder(t), newRecorder(t)
	i := serve(t, []*route.Route{
		sharing("a.test", "main", route.None, 0, main.address), sharing("a.test", "shadow", route.Mirror, 100, shadow.address),
	})
	c := i.client(t, onlyHTTP1)
	for name, ask := range map[string]func() *http.Request{
		"GET": func() *http.Request {
			r, _ := http.NewRequest("GET", "https://a.test/a%2fb/?q=1&%20", nil)
			r.Header.Set("X-Some", "thing")
			r.Header.Add("X-Some", "more")
			r.Header.Set("Keep-Alive", "hop")
			return r
		},
		"small": func() *http.Request {
			r, _ := http.NewRequest("POST", "https://a.test/", strings.NewReader("hello"))
			return r
		},
		"at the limit": func() *http.Request {
			r, _ := http.NewRequest("PUT", "https://a.test/", bytes.NewReader(bytes.Repeat([]byte("x"), maxMirrorBody)))
			return r
		},
		"of unknown length, with trailers": func() *http.Request {
			r, _ := http.NewRequest("POST", "https://a.test/", io.MultiReader(strings.NewReader("hel"), strings.NewReader("lo")))
			r.Trailer = http.Header{"X-Sum": []string{"5"}}
			return r
		},
	} {
		resp, err := c.Do(ask())
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		<-main.came
		got, want := shadow.next(t), main.requests()[len(main.requests())-1]
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s\n the mirror got %.300v\nthe route got %.300v", name, got, want)
		}
		if got.header.Get("X-Forwarded-For") != "127.0.0.1" || got.header.Get("Keep-Alive") != "" {
			t.Errorf("%s: fields %v", name, got.header)
		}
		if string(b) != "shadow" || len(main.requests()) != len(shadow.requests()) { // both answer alike
			t.Errorf("%s: %q", name, b)
		}
	}
	i.idle(t, "shadow")
}

// Of each share, exactly so many are mirrored, evenly spread.
func TestMirroredShare(t *testing.T) {
	t.Parallel()
	shadow := newRecorder(t)
	i := serve(t, []*route.Route{
		sharing("a.test", "main", route.None, 0, named(t, "a")), sharing("a.test", "shadow", route.Mirror, 30, shadow.address),
	})
	for n := range 5 {
		if got := shares(answers(t, i.client(t), "http://a.test/", 20)); got != "a20" {
			t.Errorf("visitors got %s", got)
		}
		i.idle(t, "shadow")
		if got := len(shadow.requests()); got != 6*(n+1) {
			t.Errorf("after %d requests, %d are mirrored, want 30%%", 20*(n+1), got)
		}
	}
}

// What is too large for a mirror is whole for the route, and the log says so once.
func TestLargeBodiesAreNotMirrored(t *testing.T) {
	t.Parallel()
	main, shadow := newRecorder(t), newRecorder(t)
	i := serve(t, []*route.Route{
		sharing("a.test", "main", route.None, 0, main.address), sharing("a.test", "shadow", route.Mirror, 100, shadow.address),
	})
	large := strings.Repeat("0123456789", 100_000)
	for n := range 6 {
		var body io.Reader = strings.NewReader(large)
		if n%2 == 1 {
			body = io.MultiReader(body) // of unknown length
		}
		resp, err := i.client(t).Post("https://a.test/", "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		<-main.came
		if got := main.requests()[n].body; got != large {
			t.Errorf("the route got %d bytes", len(got))
		}
	}
	i.idle(t, "shadow")
	if got := shadow.requests(); len(got) > 0 {
		t.Errorf("%d requests are mirrored", len(got))
	}
	if n := strings.Count(i.log.String(), "bodies are larger than 64 KiB"); n != 1 {
		t.Errorf("the log says so %d times", n)
	}
}

// Whatever a mirror does, visitors do not notice: not in what they get, nor in the
// time it takes.
func TestMirrorsDoNoHarm(t *testing.T) {
	t.Parallel()
	const requests = maxMirrored + 44
	block := make(chan struct{})
	defer close(block)
	for name, address := range map[string]string{
		"none": "",
		"good": named(t, "s"),
		"dead": deadAddress(t),
		"erring": originAt(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
		}),
		"breaking off": originAt(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		"stuck": originAt(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-block:
			case <-r.Context().Done():
			}
		}),
		"deaf": rawOrigin(t, func(net.Conn) { <-block }),
		"endless": originAt(t, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 100)); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}),
	} {
		routes := []*route.Route{sharing("a.test", "main", route.None, 0, named(t, "a"))}
		if name != "none" {
			routes = append(routes, sharing("a.test", "shadow", route.Mirror, 100, address))
		}
		i := serve(t, routes)
		c := i.client(t)
		var took []time.Duration
		for range requests {
			begin := time.Now()
			resp, err := c.Post("http://a.test/", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 200 || string(b) != "a" || err != nil {
				t.Errorf("with a mirror that is %s: %s %q, %v", name, resp.Status, b, err)
			}
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		t.Logf("with a mirror that is %-12s a request takes %v, the slowest of %d %v", name+":", took[requests/2], requests, took[requests-1])
		// Nothing waits for a mirror: those that are stuck would show as 30 s.
		if took[requests/2] > 250*time.Millisecond || took[requests-1] > 5*time.Second {
			t.Errorf("with a mirror that is %s, a request takes %v", name, took[requests/2])
		}
		said := map[string]string{
			"dead": "connection refused", "breaking off": "closed the connection without an answer",
			"stuck": "too slow for so many", "deaf": "too slow for so many", "endless": "too slow for so many",
		}[name]
		if n := strings.Count(i.log.String(), "level=WARN"); n > 2 { // the replica, and its mirror
			t.Errorf("a mirror that is %s makes %d warnings", name, n)
		}
		if log := i.log.String(); !strings.Contains(log, said) {
			t.Errorf("a mirror that is %s: the log does not say %q", name, said)
		}
		if err := i.stop(); err != nil {
			t.Errorf("a mirror that is %s keeps the server from ending: %v", name, err)
		}
	}
}

// A visitor who goes away takes nothing from the mirror.
func TestMirrorOutlivesVisitor(t *testing.T) {
	t.Parallel()
	held, gone, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	main := originAt(t, func(_ http.ResponseWriter, r *http.Request) {
		close(held)
		<-r.Context().Done()
		close(gone)
	})
	shadow := originAt(t, func(_ http.ResponseWriter, r *http.Request) {
		<-gone
		time.Sleep(50 * time.Millisecond) // were it given up, it would be by now
		result <- r.Context().Err()
	})
	i := serve(t, []*route.Route{
		sharing("a.test", "main", route.None, 0, main), sharing("a.test", "shadow", route.Mirror, 100, shadow),
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://a.test/", nil)
	go func() {
		<-held
		cancel()
	}()
	if _, err := i.client(t).Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("the visitor got %v", err)
	}
	if err := <-result; err != nil {
		t.Errorf("the mirrored request ended with its visitor: %v", err)
	}
	i.idle(t, "shadow")
}

// A body that the route does not read to its end is not mirrored, and holds
// nothing up.
func TestUnreadBodyIsNotMirrored(t *testing.T) {
	t.Parallel()
	shadow := newRecorder(t)
	main := rawOrigin(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	i := serve(t, []*route.Route{
		sharing("a.test", "main", route.None, 0, main), sharing("a.test", "shadow", route.Mirror, 100, shadow.address),
	})
	in, out := io.Pipe()
	req, _ := http.NewRequest("POST", "http://a.test/", in)
	go func() { _, _ = io.WriteString(out, "some of it") }()
	resp, err := i.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	_ = out.CloseWithError(errors.New("given up"))
	i.idle(t, "shadow")
	if n := len(shadow.requests()); n > 0 {
		t.Errorf("%d requests are mirrored", n)
	}
}

func TestWebSocketsAreNotMirrored(t *testing.T) {
	t.Parallel()
	shadow := newRecorder(t)
	i := serve(t, []*route.Route{
		sharing("a.test", "main", route.None, 0, originAt(t, echoSocket(t))), sharing("a.test", "shadow", route.Mirror, 100, shadow.address),
	})
	socket, _, err := websocket.Dial(t.Context(), "wss://a.test/", &websocket.DialOptions{HTTPClient: i.client(t, onlyHTTP1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := socket.Read(t.Context()); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	_ = socket.CloseNow()
	if n := len(shadow.requests()); n > 0 {
		t.Errorf("%d requests are mirrored", n)
	}
}

// The mirror's own middleware works on the copy, and when it panics, only that
// copy is lost.
func TestMirrorsMiddleware(t *testing.T) {
	t.Parallel()
	shadow := newRecorder(t)
	var panics atomic.Bool
	r := sharing("a.test", "shadow", route.Mirror, 100, shadow.address)
	r.Middleware = []label.Binder{&binder{"own", func(next exchange.Handler) exchange.Handler {
		return exchange.HandlerFunc(func(ex *exchange.Exchange) {
			if panics.Load() {
				panic("boom")
			}
			ex.Request.Fields.SetString("x-copy", "1 "+ex.Scheme)
			ex.Request.Path = []byte("/other")
			next.Serve(ex)
		})
	}}}
	main := newRecorder(t)
	i := serve(t, []*route.Route{sharing("a.test", "main", route.None, 0, main.address), r})
	get(t, i.client(t), "http://a.test/path")
	if got := shadow.next(t); got.header.Get("X-Copy") != "1 http" || !strings.HasPrefix(got.line, "GET /other") {
		t.Errorf("the mirror got %+v", got)
	}
	if got := main.requests()[0]; got.header.Get("X-Copy") != "" || !strings.HasPrefix(got.line, "GET /path") {
		t.Errorf("the route got %+v", got)
	}
	panics.Store(true)
	if resp, _ := get(t, i.client(t), "http://a.test/path"); resp.StatusCode != 200 {
		t.Errorf("%s", resp.Status)
	}
	i.idle(t, "shadow")
	if !strings.Contains(i.log.String(), "panic: boom") {
		t.Error("the log says nothing of a panic")
	}
}

// A mirror has half a minute for an answer.
func TestMirrorTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t)
		log := &logBuffer{}
		f.logger = slog.New(slog.NewTextHandler(log, nil))
		f.set(sharing("a.test", "main", route.None, 0, "one:80"), sharing("a.test", "shadow", route.Mirror, 100, "two:80"))
		f.pools["two:80"].serve = func(ex *exchange.Exchange) error {
			<-ex.Context().Done()
			return ex.Canceled()
		}
		begin := time.Now()
		if got := f.ask("a.test"); got != "one:80" || time.Since(begin) != 0 {
			t.Errorf("answer from %q after %v", got, time.Since(begin))
		}
		f.mirrors.running.Wait()
		if d := time.Since(begin); d != mirrorTime {
			t.Errorf("the copy was given up after %v", d)
		}
		if !strings.Contains(log.String(), "the mirror took too long") {
			t.Errorf("the log does not say so: %s", log)
		}
	})
}

// Copies under way end with the server. Not parallel: it looks at all goroutines.
func TestMirrorsEnd(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	began := make(chan struct{}, 10)
	shadow := rawOrigin(t, func(net.Conn) {
		began <- struct{}{}
		<-block
	})
	i := serve(t, []*route.Route{
		sharing("a.test", "main", route.None, 0, named(t, "a")), sharing("a.test", "shadow", route.Mirror, 100, shadow),
	})
	answers(t, i.client(t), "http://a.test/", 3)
	for range 3 {
		<-began
	}
	if n := running("(*copied).serve"); n != 3 {
		t.Errorf("%d copies under way, want 3", n)
	}
	if err := i.stop(); err != nil {
		t.Error(err)
	}
	if n := running("(*copied).serve"); n != 0 {
		t.Errorf("%d copies outlive the server", n)
	}
}
