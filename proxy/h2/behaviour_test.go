package h2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"portway/proxy/exchange"
)

// client returns Go's HTTP/2 client for ts, over TLS.
func (ts *testServer) client(t testing.TB) (*http.Client, string) {
	tr := &http.Transport{TLSClientConfig: clientTLS(), DisableCompression: true, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}, "https://" + ts.addr
}

// text is a response of that much text.
func text(ex *exchange.Exchange, status int, s string) {
	ex.Response.Status, ex.Response.Length = status, int64(len(s))
	ex.Response.Body = exchange.BytesBody([]byte(s))
}

// chunks is a body that yields what comes through a channel.
type chunks struct {
	c      chan string
	rest   string
	err    error // in place of io.EOF
	closed chan struct{}
	once   sync.Once
}

func newChunks() *chunks { return &chunks{c: make(chan string), closed: make(chan struct{})} }

func (b *chunks) Read(p []byte) (int, error) {
	if b.rest == "" {
		select {
		case s, ok := <-b.c:
			if !ok {
				if b.err != nil {
					return 0, b.err
				}
				return 0, io.EOF
			}
			b.rest = s
		case <-b.closed:
			return 0, errors.New("closed")
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *chunks) Close() error { b.once.Do(func() { close(b.closed) }); return nil }

// doneFunc lets tests see how an exchange ended.
type doneFunc func(sent int64, err error)

func (f doneFunc) Done(_ *exchange.Exchange, sent int64, err error) { f(sent, err) }

// TestResponses shows what becomes of answers on their way to the client.
func TestResponses(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB
	answers := map[string]func(ex *exchange.Exchange){
		"/plain":   func(ex *exchange.Exchange) { text(ex, 200, "hello") },
		"/big":     func(ex *exchange.Exchange) { text(ex, 200, big) },
		"/created": func(ex *exchange.Exchange) { text(ex, 201, "x"); ex.Response.Fields.AddString("Location", "/x") },
		"/empty":   func(ex *exchange.Exchange) { ex.Response.Status = 200 },
		"/unknown": func(ex *exchange.Exchange) { text(ex, 200, "hello"); ex.Response.Length = exchange.LengthUnknown },
		"/204":     func(ex *exchange.Exchange) { text(ex, 204, "no"); ex.Response.Fields.AddString("X", "y") },
		"/304":     func(ex *exchange.Exchange) { ex.Response.Status, ex.Response.Length = 304, 7 },
		"/fields": func(ex *exchange.Exchange) {
			text(ex, 200, "")
			f := &ex.Response.Fields
			for _, l := range []string{
				"Set-Cookie: a=b", "Set-Cookie: c=d", "X-UPPER: Case Kept", "Connection: close", "Keep-Alive: 1",
				"Transfer-Encoding: chunked", "Upgrade: h2c", "Proxy-Connection: x", "Content-Length: 77", "Bad Name: x", "X-Split: a\r\nb: c", "X-Nul: \x00",
			} {
				name, value, _ := strings.Cut(l, ": ")
				f.AddString(name, value)
			}
		},
		"/large-head": func(ex *exchange.Exchange) {
			text(ex, 200, "")
			ex.Response.Fields.AddString("X", strings.Repeat("y", 3*maxFrame))
		},
		"/panic":    func(*exchange.Exchange) { panic("oops") },
		"/nothing":  func(*exchange.Exchange) {},
		"/101":      func(ex *exchange.Exchange) { ex.Response.Status = 101 },
		"/trailers": func(ex *exchange.Exchange) { text(ex, 200, "hello"); ex.Response.Trailers.AddString("X-Sum", "5") },
		"/trailers-only": func(ex *exchange.Exchange) {
			ex.Response.Status, ex.Response.Length = 200, exchange.LengthUnknown
			ex.Response.Trailers.AddString("X-Sum", "0")
		},
	}
	ts := serve(t, true, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) { answers[string(ex.Request.Path)](ex) })})
	client, url := ts.client(t)
	for _, tt := range []struct {
		method, path, want string // status, length, content, then fields
	}{
		{"GET", "/plain", "200 5 hello"},
		{"HEAD", "/plain", "200 5 "},
		{"GET", "/big", "200 1048576 " + big},
		{"HEAD", "/big", "200 1048576 "},
		{"GET", "/created", "201 1 x Location=/x"},
		{"GET", "/empty", "200 0 "},
		{"GET", "/unknown", "200 -1 hello"},
		{"HEAD", "/unknown", "200 -1 "},
		{"GET", "/204", "204 0  X=y"},
		{"GET", "/304", "304 0 "},
		{"GET", "/fields", "200 0  Set-Cookie=a=b Set-Cookie=c=d X-Upper=Case Kept"},
		{"GET", "/large-head", "200 0  X=" + strings.Repeat("y", 3*maxFrame)},
		{"GET", "/panic", "500 15 internal error\n"},
		{"GET", "/nothing", "500 15 internal error\n"},
		{"GET", "/101", "500 15 internal error\n"},
		{"GET", "/trailers", "200 5 hello trailer X-Sum=5"},
		{"GET", "/trailers-only", "200 -1  trailer X-Sum=0"},
	} {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			req, _ := http.NewRequest(tt.method, url+tt.path, nil)
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			content, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%d %d %s", res.StatusCode, res.ContentLength, content)
			got += fields("", res.Header) + fields("trailer ", res.Trailer)
			if got != tt.want {
				t.Errorf("got %.200q\nwant %.200q", got, tt.want)
			}
		})
	}
	if !strings.Contains(ts.log.String(), "oops") {
		t.Error("the panic is not in the log")
	}
}

func fields(prefix string, h http.Header) string {
	s := ""
	for _, name := range []string{"Location", "Set-Cookie", "X", "X-Upper", "X-Sum", "X-Split", "X-Nul", "Connection", "Keep-Alive", "Upgrade", "Transfer-Encoding"} {
		for _, value := range h[name] {
			s += " " + prefix + name + "=" + value
		}
	}
	return s
}

// TestInterim sends 1xx answers while the handler works, and 100 when the
// content is asked for.
func TestInterim(t *testing.T) {
	t.Parallel()
	ts := serve(t, true, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		var hints exchange.Fields
		hints.AddString("Link", "</style.css>; rel=preload")
		ex.Front.Inform(ex, 103, &hints)
		ex.Front.Inform(ex, 101, nil) // does not exist in HTTP/2
		hello(ex)
	})})
	client, url := ts.client(t)
	var seen []string
	trace := &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			seen = append(seen, fmt.Sprint(code, " ", h["Link"]))
			return nil
		},
	}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodPost, url+"/", strings.NewReader("content"))
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := strings.Join(seen, ", "); res.StatusCode != http.StatusOK || got != "103 [</style.css>; rel=preload]" {
		t.Errorf("%d after %q", res.StatusCode, got)
	}

	c := greetAs(t, dialTLS(t, ts))
	c.headers(1, false, c.post("expect", "100-continue"))
	c.want("head 1 103")
	c.want("head 1 100")
	c.must(c.fr.WriteData(1, true, []byte("x")))
	c.want("head 1 200")

	// A client that sends without waiting gets no 100.
	block := string(c.post("expect", "100-continue"))
	c.seen = nil
	c.raw(string(appendFrameHeader(nil, len(block), frameHeaders, flagEndHeaders, 3)) + block +
		string(appendFrameHeader(nil, 1, frameData, flagEndStream, 3)) + "x")
	c.want("head 3 200")
	if contains(c.seen, "head 3 100") {
		t.Error("100 Continue to a client that does not wait")
	}
}

// TestUploads streams content both ways at once, small and large.
func TestUploads(t *testing.T) {
	t.Parallel()
	ts := serve(t, true, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		// The echo keeps the request's body as the response's.
		ex.Response.Status, ex.Response.Length = 200, ex.Request.Length
		if ex.Request.Body != nil {
			ex.Response.Body = ex.Request.Body
		}
	})})
	client, url := ts.client(t)
	for _, size := range []int{0, 1, 100, smallChunk, smallChunk + 1, maxFrame, 100_000, 2 << 20} {
		for _, known := range []bool{true, false} {
			content := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
			var body io.Reader = bytes.NewReader(content)
			if !known {
				body = struct{ io.Reader }{body}
			}
			res, err := client.Post(url+"/", "", body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, length known: %v: %d bytes came back, %v", size, known, len(got), err)
			}
		}
	}
}

// TestManyAtOnce has many clients at work on few connections.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	ts := serve(t, true, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		hello(ex)
		text(ex, 200, strings.Repeat(string(ex.Request.Path), 500))
	})})
	var wg sync.WaitGroup
	for range 3 {
		client, url := ts.client(t)
		for g := range 30 {
			wg.Go(func() {
				for i := range 20 {
					path := fmt.Sprintf("/%d-%d", g, i)
					res, err := client.Post(url+path, "", strings.NewReader(strings.Repeat("x", g*i*10)))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if want := strings.Repeat(path, 500); err != nil || string(got) != want {
						t.Errorf("got %.20q…, %v, want %.20q…", got, err, want)
					}
				}
			})
		}
	}
	wg.Wait()
}

// TestTwoWay has both sides talk in turns on one stream.
func TestTwoWay(t *testing.T) {
	t.Parallel()
	ts := serve(t, true, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ex.Response.Status, ex.Response.Length = 200, exchange.LengthUnknown
		ex.Response.Body = ex.Request.Body
	})})
	client, url := ts.client(t)
	r, w := io.Pipe()
	res, err := client.Post(url+"/", "", r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	buf := make([]byte, 100)
	for i := range 50 {
		said := fmt.Sprint("message ", i)
		if _, err := io.WriteString(w, said); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(res.Body, buf[:len(said)]); err != nil || string(buf[:len(said)]) != said {
			t.Fatalf("%q: %q came back, %v", said, buf[:len(said)], err)
		}
	}
	_ = w.Close()
	if n, err := res.Body.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("%d more bytes, %v", n, err)
	}
}

// TestEventsAreNotHeldBack shows that head and events come when they are made.
func TestEventsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	b := newChunks()
	ts := serve(t, true, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, exchange.LengthUnknown, b
	})})
	client, url := ts.client(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
	res, err := client.Do(req) // returns at the head
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	buf := make([]byte, 100)
	for _, e := range []string{"data: 1\n\n", "data: 2\n\n"} {
		b.c <- e
		if n, err := res.Body.Read(buf); err != nil || string(buf[:n]) != e {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
	close(b.c)
}
