package exchange

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// serveHTTP1 serves h through net/http and returns a raw connection to it.
func serveHTTP1(t *testing.T, idle time.Duration, h HandlerFunc) net.Conn {
	t.Helper()
	s := httptest.NewUnstartedServer(FromHTTP(h, idle))
	s.Config.DisableGeneralOptionsHandler = true
	s.Start()
	t.Cleanup(s.Close)
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// serveHTTP2 serves h by HTTP/2 over TLS and returns its URL and a client.
func serveHTTP2(t *testing.T, idle time.Duration, h HandlerFunc) (string, *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(FromHTTP(h, idle))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, s.Client()
}

func describe(ex *Exchange) string {
	q := &ex.Request
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s path=%q query=%q/%v len=%d body=%v te=%v upgrade=%q",
		ex.Conn.Protocol, q.Method, q.Authority, q.Path, q.Query, q.HasQuery, q.Length, q.Body != nil, q.TETrailers, q.Upgrade)
	var lines []string
	for n, v := range q.Fields.All() {
		lines = append(lines, fmt.Sprintf("%s: %s", n, v))
	}
	slices.Sort(lines)
	return b.String() + "\n" + strings.Join(lines, "\n")
}

func TestRequestFromHTTP1(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{
			"plain", "GET /a%2Fb/../c?x=%20&y HTTP/1.1\r\nHost: Example.COM:8080\r\naccept: */*\r\n\r\n",
			"HTTP/1.1 GET Example.COM:8080 path=\"/a%2Fb/../c\" query=\"x=%20&y\"/true len=0 body=false te=false upgrade=\"\"\nAccept: */*",
		},
		{
			"empty query is not no query", "GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 GET a path=\"/\" query=\"\"/true len=0 body=false te=false upgrade=\"\"\n",
		},
		{
			"absolute form", "GET http://b.example/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 GET b.example path=\"/x\" query=\"y\"/true len=0 body=false te=false upgrade=\"\"\n",
		},
		{
			"absolute form without a path", "GET http://b.example?y HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 GET b.example path=\"/\" query=\"y\"/true len=0 body=false te=false upgrade=\"\"\n",
		},
		{
			"absolute form, nothing more", "GET http://b.example HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 GET b.example path=\"/\" query=\"\"/false len=0 body=false te=false upgrade=\"\"\n",
		},
		{
			"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 OPTIONS a path=\"*\" query=\"\"/false len=0 body=false te=false upgrade=\"\"\n",
		},
		{
			"connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
			"HTTP/1.1 CONNECT a:443 path=\"a:443\" query=\"\"/false len=0 body=false te=false upgrade=\"\"\n",
		},
		{
			"hop by hop", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Private\r\nConnection: x-also\r\nX-Private: 1\r\nX-Also: 2\r\nX-Kept: 3\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: gzip, trailers;q=0.5\r\nTrailer: x\r\n\r\n",
			"HTTP/1.1 GET a path=\"/\" query=\"\"/false len=0 body=false te=true upgrade=\"\"\nX-Kept: 3",
		},
		{
			"upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/1.1 GET a path=\"/\" query=\"\"/false len=0 body=false te=false upgrade=\"websocket\"\n",
		},
		{
			"upgrade that Connection does not name", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/1.1 GET a path=\"/\" query=\"\"/false len=0 body=false te=false upgrade=\"\"\n",
		},
		{
			"HTTP/1.0 cannot upgrade", "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/1.0 GET a path=\"/\" query=\"\"/false len=0 body=false te=false upgrade=\"\"\n",
		},
		{
			"body of known length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
			"HTTP/1.1 POST a path=\"/\" query=\"\"/false len=3 body=true te=false upgrade=\"\"\n",
		},
		{
			"body of unknown length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"HTTP/1.1 POST a path=\"/\" query=\"\"/false len=-1 body=true te=false upgrade=\"\"\n",
		},
		{
			"body of no length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 POST a path=\"/\" query=\"\"/false len=0 body=false te=false upgrade=\"\"\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			conn := serveHTTP1(t, 0, func(ex *Exchange) {
				got <- describe(ex)
				if !ex.Conn.Remote.IsValid() || !ex.Conn.Local.IsValid() || ex.Start.IsZero() {
					t.Errorf("connection: %+v, start %v", ex.Conn, ex.Start)
				}
				ex.Response.Status = 204
			})
			_, _ = io.WriteString(conn, c.in)
			if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusNoContent {
				t.Fatalf("answer %v, %v", resp, err)
			}
			if g := <-got; g != c.want {
				t.Errorf("got  %s\nwant %s", g, c.want)
			}
		})
	}
}

// raw sends a request and reads until the connection closes.
func raw(t *testing.T, c net.Conn, request string) string {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil && len(b) == 0 {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.SplitSeq(string(b), "\r\n") {
		if !strings.HasPrefix(line, "Date: ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\r\n")
}

// slowBody yields its parts one by one and has trailers.
type slowBody struct {
	parts    []string
	trailers *Fields
	err      error
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.parts) > 0 {
		n := copy(p, b.parts[0])
		b.parts = b.parts[1:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	if b.trailers != nil {
		b.trailers.AddString("X-Sum", "42")
	}
	return 0, io.EOF
}

func (b *slowBody) Close() error { return nil }

func TestResponseToHTTP1(t *testing.T) {
	t.Parallel()
	const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for _, c := range []struct {
		name, request string
		answer        func(p *Response)
		want          string
	}{
		{
			"known length, no guessed type", get,
			func(p *Response) { p.Status, p.Length, p.Body = 200, 5, BytesBody([]byte("<html")) },
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<html",
		},
		{
			"unknown length", get,
			func(p *Response) {
				p.Status, p.Length, p.Body = 200, LengthUnknown, &slowBody{parts: []string{"ab", "cde"}}
				p.Fields.AddString("x-one", "1")
				p.Fields.AddString("X-One", "2")
			},
			"HTTP/1.1 200 OK\r\nX-One: 1\r\nX-One: 2\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
		},
		{
			"trailers", get,
			func(p *Response) {
				p.Status, p.Length, p.Body = 200, LengthUnknown, &slowBody{parts: []string{"ab"}, trailers: &p.Trailers}
			},
			"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 42\r\n\r\n",
		},
		{
			"trailers after nothing", get,
			func(p *Response) {
				p.Status, p.Length, p.Body = 200, LengthUnknown, &slowBody{trailers: &p.Trailers}
			},
			"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 42\r\n\r\n",
		},
		{
			"HEAD tells the length", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			func(p *Response) { p.Status, p.Length = 200, 1234 },
			"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nConnection: close\r\n\r\n",
		},
		{
			"HEAD without a length", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			func(p *Response) { p.Status, p.Length = 200, LengthUnknown },
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
		},
		{
			"no content", get,
			func(p *Response) { p.Status = 204 },
			"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		},
		{
			"empty", get,
			func(p *Response) { p.Status = 500 },
			"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		},
		{
			"cut off in the middle: no end of the chunks", get,
			func(p *Response) {
				p.Status, p.Length, p.Body = 200, LengthUnknown, &slowBody{parts: []string{"ab"}, err: io.ErrUnexpectedEOF}
			},
			"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
		},
		{
			"shorter than said", get,
			func(p *Response) { p.Status, p.Length, p.Body = 200, 10, &slowBody{parts: []string{"ab"}} },
			"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nab",
		},
		{
			"HTTP/1.0 ends by closing", "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
			func(p *Response) { p.Status, p.Length, p.Body = 200, LengthUnknown, &slowBody{parts: []string{"abc"}} },
			"HTTP/1.0 200 OK\r\n\r\nabc",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := serveHTTP1(t, time.Minute, func(ex *Exchange) { c.answer(&ex.Response) })
			if got := raw(t, conn, c.request); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestInform(t *testing.T) {
	t.Parallel()
	handler := func(ex *Exchange) {
		var hints Fields
		hints.AddString("Link", "</a.css>; rel=preload")
		ex.Front.Inform(ex, 103, &hints)
		ex.Front.Inform(ex, 100, &hints) // not for handlers
		ex.Response.Status = 204
		ex.Response.Fields.AddString("X-Final", "1")
	}
	conn := serveHTTP1(t, 0, handler)
	want := "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 204 No Content\r\nX-Final: 1\r\nConnection: close\r\n\r\n"
	if got := raw(t, conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	conn = serveHTTP1(t, 0, handler)
	if got := raw(t, conn, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"); strings.Contains(got, "103") {
		t.Errorf("an HTTP/1.0 client got %q", got)
	}
}

// What the origin sends bit by bit must arrive bit by bit, the head first.
func TestStreamIsFlushed(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	handler := func(ex *Exchange) { ex.Response = Response{Status: 200, Length: LengthUnknown, Body: r} }
	url, client := serveHTTP2(t, time.Minute, handler)
	resp, err := client.Get(url) // returns with the head, before there is any content
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	buf := make([]byte, 10)
	for _, part := range []string{"one", "two"} {
		_, _ = w.Write([]byte(part))
		if n, err := resp.Body.Read(buf); err != nil || string(buf[:n]) != part {
			t.Fatalf("got %q, %v; want %q", buf[:n], err, part)
		}
	}
	_ = w.Close()
	if _, err := resp.Body.Read(buf); err != io.EOF {
		t.Errorf("end: %v", err)
	}
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	url, client := serveHTTP2(t, time.Minute, func(ex *Exchange) {
		q, p := &ex.Request, &ex.Response
		if ex.Conn.Protocol != HTTP2 || ex.Conn.TLS == nil || !q.TETrailers {
			t.Errorf("%s, TLS %v, TE %v", ex.Conn.Protocol, ex.Conn.TLS != nil, q.TETrailers)
		}
		b, err := io.ReadAll(q.Body)
		if err != nil || string(q.Trailers.Get("x-in")) != "after" {
			t.Errorf("request %q, %v, trailer %q", b, err, q.Trailers.Get("x-in"))
		}
		p.Status, p.Length, p.Body = 200, LengthUnknown, &slowBody{parts: []string{string(b)}, trailers: &p.Trailers}
	})
	req, _ := http.NewRequest(http.MethodPost, url+"/x", io.MultiReader(strings.NewReader("hello")))
	req.Header.Set("TE", "trailers")
	req.Trailer = http.Header{"X-In": {"after"}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != "hello" || resp.Trailer.Get("X-Sum") != "42" {
		t.Errorf("got %q, %v, trailers %v", b, err, resp.Trailer)
	}
}

// A cut-off answer must not look complete to an HTTP/2 client either.
func TestHTTP2CutOff(t *testing.T) {
	t.Parallel()
	url, client := serveHTTP2(t, time.Minute, func(ex *Exchange) {
		ex.Response = Response{Status: 200, Length: LengthUnknown, Body: &slowBody{parts: []string{"ab"}, err: errors.New("broken")}}
	})
	resp, err := client.Get(url)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
	}
	if err == nil {
		t.Error("the client took a broken answer for complete")
	}
}

func TestClientGoneCancels(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			begun, cause := make(chan struct{}), make(chan error, 1)
			handler := func(ex *Exchange) {
				a := make(aborts, 1)
				ex.SetAborter(a)
				close(begun)
				cause <- <-a
				ex.Response.Status = 502
			}
			if protocol == "HTTP/1.1" {
				conn := serveHTTP1(t, 0, handler)
				_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				<-begun
				_ = conn.Close()
			} else {
				url, client := serveHTTP2(t, 0, handler)
				ctx, cancel := context.WithCancel(context.Background())
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
				go func() { <-begun; cancel() }()
				_, _ = client.Do(req)
			}
			select {
			case err := <-cause:
				if !errors.Is(err, ErrClientGone) {
					t.Errorf("cause: %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("nobody was told that the client is gone")
			}
		})
	}
}
