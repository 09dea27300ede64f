package upstream

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// TestMain fails the run if tests leave goroutines or file descriptors behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := leaks(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func leaks() error {
	var err error
	for range 100 {
		runtime.GC()
		err = nil
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for g := range strings.SplitSeq(string(stacks), "\n\n") {
			if strings.Contains(g, "portway/proxy") && !strings.Contains(g, "upstream.TestMain") {
				err = fmt.Errorf("a goroutine is left:\n%s", g)
			}
		}
		fds, _ := filepath.Glob("/proc/self/fd/*")
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); strings.HasPrefix(to, "socket:") && !standard(fd) {
				err = errors.Join(err, fmt.Errorf("a socket is left: %s", fd))
			}
		}
		if err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// standard tells whether a descriptor was there before us.
func standard(fd string) bool {
	return strings.HasSuffix(fd, "/0") || strings.HasSuffix(fd, "/1") || strings.HasSuffix(fd, "/2")
}

// origin is a server for tests that answers by hand.
type origin struct {
	net.Listener
	accepted atomic.Int32
	serving  sync.WaitGroup
}

// listen starts an origin; handle gets every connection, with a reader on it and
// its number from 0, and the connection is closed when handle returns.
func listen(t testing.TB, handle func(c net.Conn, r *bufio.Reader, n int)) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, handle)
}

func serveOn(t testing.TB, l net.Listener, handle func(c net.Conn, r *bufio.Reader, n int)) *origin {
	o := &origin{Listener: l}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	o.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(o.accepted.Add(1)) - 1
			mu.Lock()
			open[c] = true
			mu.Unlock()
			o.serving.Go(func() {
				defer c.Close() //nolint:errcheck // a test's end
				handle(c, bufio.NewReader(c), n)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		o.serving.Wait()
	})
	return o
}

// pool makes a pool for the origin that is closed with the test.
func (o *origin) pool(t testing.TB, cfg Config) *Pool {
	t.Helper()
	cfg.Network, cfg.Address = o.Addr().Network(), o.Addr().String()
	cfg.Scheme = cmp.Or(cfg.Scheme, "http")
	p := NewPool(cfg)
	t.Cleanup(p.Close)
	return p
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// say writes s; errors show on the other side.
func say(c net.Conn, s string) { _, _ = io.WriteString(c, s) }

// skipRequest reads a request with its body; false at the end of the connection.
func skipRequest(r *bufio.Reader) bool { return readRequest(r) != "" }

// readRequest reads a request and gives method, target and body.
func readRequest(r *bufio.Reader) string {
	q, err := http.ReadRequest(r)
	if err != nil {
		return ""
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return ""
	}
	return q.Method + " " + q.RequestURI + " " + string(body)
}

// answerAll answers every request with okAnswer.
func answerAll(c net.Conn, r *bufio.Reader, _ int) {
	for skipRequest(r) {
		say(c, okAnswer)
	}
}

// reset closes a connection with RST.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// newExchange makes a request for http://app.example.
func newExchange(method, target string) *exchange.Exchange {
	ex := exchange.Get()
	q := &ex.Request
	path, query, has := strings.Cut(target, "?")
	q.Method, q.Path, q.Query, q.HasQuery = []byte(method), []byte(path), []byte(query), has
	q.Authority = []byte("app.example")
	return ex
}

// withBody gives ex a body of known length.
func withBody(ex *exchange.Exchange, body string) *exchange.Exchange {
	ex.Request.Body, ex.Request.Length = exchange.BytesBody([]byte(body)), int64(len(body))
	return ex
}

// pipeBody is a body that a test feeds bit by bit.
type pipeBody struct {
	*io.PipeReader
	to *io.PipeWriter
}

func newPipeBody() *pipeBody {
	r, w := io.Pipe()
	return &pipeBody{r, w}
}

func (p *pipeBody) Close() error { return p.PipeReader.Close() }

// withPipe gives ex a body of unknown length.
func withPipe(ex *exchange.Exchange) (*exchange.Exchange, *io.PipeWriter) {
	b := newPipeBody()
	ex.Request.Body, ex.Request.Length = b, exchange.LengthUnknown
	return ex, b.to
}

// result is what came of an exchange.
type result struct {
	status           int
	body             string
	length           int64
	fields, trailers string
	err, bodyErr     error
}

func (r result) String() string {
	return fmt.Sprintf("status %d, body %.100q, length %d, fields %.100q, trailers %q, error %v, body's error %v",
		r.status, r.body, r.length, r.fields, r.trailers, r.err, r.bodyErr)
}

// run does a whole exchange as a front would.
func run(p *Pool, ex *exchange.Exchange) (res result) {
	defer exchange.Put(ex)
	if res.err = p.RoundTrip(ex); res.err != nil {
		ex.Finish(0, res.err)
		return res
	}
	r := &ex.Response
	res.status, res.length = r.Status, r.Length
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		res.body, res.bodyErr = string(body), err
	}
	res.fields, res.trailers = flat(&r.Fields), flat(&r.Trailers)
	ex.Finish(int64(len(res.body)), res.bodyErr)
	return res
}

// get does a GET and wants okAnswer.
func mustGet(t *testing.T, p *Pool) {
	t.Helper()
	if res := run(p, newExchange("GET", "/")); res.status != 200 || res.body != "ok" || res.err != nil || res.bodyErr != nil {
		t.Fatalf("GET / = %+v", res)
	}
}

// flat writes fields as "a=1 b=2", names in lower case.
func flat(f *exchange.Fields) string {
	var s []string
	for name, value := range f.All() {
		s = append(s, strings.ToLower(string(name))+"="+string(value))
	}
	return strings.Join(s, " ")
}

// front records interim answers.
type front struct {
	mu   sync.Mutex
	said []string
}

func (f *front) Inform(_ *exchange.Exchange, status int, fields *exchange.Fields) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, strings.TrimSpace(fmt.Sprint(status, " ", flat(fields))))
}

func (f *front) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.said, "; ")
}

// wantErr checks an error against a sentinel and a piece of its text.
func wantErr(t *testing.T, err, is error, text string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("no error, want %v", is)
	case is != nil && !errors.Is(err, is):
		t.Errorf("error %q is not %q", err, is)
	case !strings.Contains(err.Error(), text):
		t.Errorf("error %q does not say %q", err, text)
	}
}

// eventually waits for something that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		time.Sleep(time.Millisecond)
	}
}
