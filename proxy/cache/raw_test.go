package cache_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"portway/proxy/cache"
)

// rawOrigin answers by bytes as they are: what net/http's server would not send.
type rawOrigin struct {
	mu      sync.Mutex
	answers map[string][]string // by path, in turn
	asked   map[string][]*http.Request
}

func (o *rawOrigin) serve(t *testing.T) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go o.converse(c)
		}
	}()
	return l.Addr()
}

func (o *rawOrigin) converse(c net.Conn) {
	defer func() { _ = c.Close() }()
	for r := bufio.NewReader(c); ; {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, q.Body)
		o.mu.Lock()
		n := len(o.asked[q.URL.Path])
		o.asked[q.URL.Path] = append(o.asked[q.URL.Path], q)
		answer := ""
		if n < len(o.answers[q.URL.Path]) {
			answer = o.answers[q.URL.Path][n]
		}
		o.mu.Unlock()
		if answer == "" { // hangs up without an answer
			return
		}
		if _, err := io.WriteString(c, answer); err != nil || strings.HasPrefix(answer, "HTTP/1.0") {
			return
		}
	}
}

func (o *rawOrigin) requests(path string) []*http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[path]
}

// Trailers come with what is stored, as they came with the first answer.
func TestTrailers(t *testing.T) {
	t.Parallel()
	o := &rawOrigin{asked: map[string][]*http.Request{}, answers: map[string][]string{"/": {
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nCache-Control: max-age=3600\r\n\r\n5\r\n01234\r\n0\r\nX-Sum: a\r\n\r\n",
	}}}
	s := serveAt(t, o.serve(t).String(), cache.Config{})
	for i := range 3 {
		resp, content := s.do(t, http.MethodGet, "/", "TE: trailers")
		if content != "01234" || resp.Trailer.Get("X-Sum") != "a" {
			t.Errorf("request %d: %q, trailers %v", i+1, content, resp.Trailer)
		}
	}
	if resp, content := s.do(t, http.MethodGet, "/", "Range: bytes=1-2"); resp.StatusCode != http.StatusPartialContent || content != "12" || len(resp.Trailer) > 0 {
		t.Errorf("a part: %d %q, trailers %v", resp.StatusCode, content, resp.Trailer)
	}
	if n := len(o.requests("/")); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// What other servers send, and net/http's does not.
func TestRawAnswers(t *testing.T) {
	t.Parallel()
	const fresh = "Cache-Control: max-age=3600\r\n"
	head := func(s ...string) string { return strings.Join(s, "\r\n") + "\r\n\r\n" }
	type step struct {
		method, field string // of the request; field may be empty
		status        int
		content       string
		has           []string // "Name: value", or "-Name"
		asked         int      // how often the origin has been asked by then
	}
	for _, c := range []struct {
		name    string
		answers []string
		steps   []step
	}{
		{"more content than Content-Length says", []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + fresh + "\r\n0123456789",
		}, []step{
			{"GET", "", 200, "01234", []string{"Content-Length: 5"}, 1},
			{"GET", "", 200, "01234", []string{"Content-Length: 5", "Age: 0"}, 1},
		}},
		{"a 304 with another length and type", []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nETag: \"a\"\r\nCache-Control: no-cache\r\n\r\n01234",
			head("HTTP/1.1 304 Not Modified", "Content-Length: 10", "Content-Type: text/html", `ETag: "a"`, "Cache-Control: max-age=100"),
		}, []step{
			{"GET", "", 200, "01234", nil, 1},
			{"GET", "", 200, "01234", []string{"Content-Length: 5", "Content-Type: text/html"}, 2},
			{"GET", "", 200, "01234", []string{"Content-Length: 5", "Content-Type: text/html"}, 2},
		}},
		{"fields of the connection", []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive, a, B\r\nA: 1\r\nB: 2\r\nC: 3\r\nKeep-Alive: x\r\nProxy-Connection: x\r\nTE: x\r\nUpgrade: foo\r\n" + fresh + "\r\nx",
		}, []step{
			{"GET", "", 200, "x", []string{"-A", "-B", "C: 3", "-Keep-Alive", "-Proxy-Connection", "-TE", "-Upgrade"}, 1},
			{"GET", "", 200, "x", []string{"-A", "-B", "C: 3", "-Keep-Alive", "-Proxy-Connection", "-TE", "-Upgrade"}, 1},
		}},
		{"bytes beyond ASCII in a tag", []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nETag: \"abc\xfc\"\r\n" + fresh + "\r\nx",
		}, []step{
			{"GET", "", 200, "x", nil, 1},
			{"GET", "If-None-Match: \"abc\xfc\"", 304, "", []string{"ETag: \"abc\xfc\""}, 1},
		}},
		{"tags that are written wrong but equal", []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nETag: abc\r\n" + fresh + "\r\nx",
		}, []step{
			{"GET", "", 200, "x", nil, 1},
			{"GET", "If-None-Match: abc", 304, "", nil, 1},
			{"GET", `If-None-Match: "abc"`, 200, "x", nil, 1},
		}},
		{"interim answers", []string{
			"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + fresh + "\r\nx",
		}, []step{
			{"GET", "", 200, "x", []string{"-Link", "1xx: 102 103"}, 1},
			{"GET", "", 200, "x", []string{"-Link", "1xx: "}, 1},
		}},
		{"HEAD without a length", []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=1\r\nAge: 10\r\nETag: \"a\"\r\nA: 1\r\n\r\n01234",
			head("HTTP/1.1 200 OK", "Cache-Control: max-age=1000", `ETag: "a"`, "A: 2"),
		}, []step{
			{"GET", "", 200, "01234", nil, 1},
			{"HEAD", "", 200, "", []string{"A: 2"}, 2},
			{"GET", "", 200, "01234", []string{"A: 2", "Content-Length: 5"}, 2},
		}},
		{"until the end of the connection", []string{
			"HTTP/1.0 200 OK\r\nConnection: close\r\n" + fresh + "\r\n01234",
		}, []step{
			{"GET", "", 200, "01234", nil, 1},
			{"GET", "", 200, "01234", []string{"Content-Length: 5"}, 1},
		}},
		{"a coding that nobody knows", []string{
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n" + fresh + "\r\n01234",
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + fresh + "\r\nx",
		}, []step{
			{"GET", "", 502, "*", nil, 1},
			{"GET", "", 200, "x", nil, 2},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := &rawOrigin{answers: map[string][]string{"/": c.answers}, asked: map[string][]*http.Request{}}
			s := serveAt(t, o.serve(t).String(), cache.Config{})
			for i, w := range c.steps {
				fields, interim := []string(nil), ""
				if w.field != "" {
					fields = append(fields, w.field)
				}
				resp, content := s.doTraced(t, &interim, w.method, "/", fields...)
				if resp.StatusCode != w.status || content != w.content && w.content != "*" {
					t.Fatalf("request %d: %d %q, want %d %q; %q", i+1, resp.StatusCode, content, w.status, w.content, resp.Header)
				}
				for _, f := range w.has {
					if want, ok := strings.CutPrefix(f, "1xx: "); ok {
						if interim != want {
							t.Errorf("request %d: interim answers %q, want %q", i+1, interim, want)
						}
						continue
					}
					compare(t, i+1, "the client got", resp.Header, f)
				}
				if n := len(o.requests("/")); n != w.asked {
					t.Errorf("request %d: the origin was asked %d times, want %d", i+1, n, w.asked)
				}
			}
		})
	}
}
