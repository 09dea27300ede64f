package upstream

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"portway/proxy/exchange"
)

// rawOrigin answers without allocating, so that what is counted is ours: it takes
// every requestLen bytes for one request and writes the same answer.
func rawOrigin(t testing.TB, requestLen int, answer []byte) *origin {
	return listen(t, func(c net.Conn, _ *bufio.Reader, _ int) {
		buf := make([]byte, requestLen)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// load is one kind of exchange.
type load struct {
	p      *Pool
	method []byte
	body   memBody
	buf    []byte
	want   int
}

// memBody is a request body in memory that can be read again.
type memBody struct {
	content []byte
	at      int
}

func (b *memBody) Read(p []byte) (int, error) {
	n := copy(p, b.content[b.at:])
	if b.at += n; b.at == len(b.content) {
		return n, io.EOF
	}
	return n, nil
}

func (b *memBody) Close() error { return nil }

// fields are what a browser sends, and what Portway adds.
var fields = [][2]string{
	{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
	{"Accept-Language", "en-US,en;q=0.5"},
	{"Accept-Encoding", "gzip, deflate, br, zstd"},
	{"Cookie", "session=0123456789abcdef0123456789abcdef"},
	{"X-Forwarded-For", "192.0.2.1"},
	{"X-Forwarded-Proto", "https"},
	{"X-Forwarded-Host", "app.example"},
}

var (
	authority = []byte("app.example")
	path      = []byte("/some/path")
	query     = []byte("with=query")
)

func newLoad(method string, body []byte) *load {
	return &load{method: []byte(method), body: memBody{content: body}, buf: make([]byte, 64<<10)}
}

// exchange is the request, as a front makes it.
func (l *load) exchange() *exchange.Exchange {
	ex := exchange.Get()
	q := &ex.Request
	q.Method, q.Authority, q.Path, q.Query, q.HasQuery = l.method, authority, path, query, true
	for _, f := range fields {
		q.Fields.AddString(f[0], f[1])
	}
	if n := len(l.body.content); n > 0 {
		l.body.at = 0
		q.Body, q.Length = &l.body, int64(n)
	}
	return ex
}

// request is what that is on the wire.
func (l *load) request(t testing.TB) []byte {
	head, err := appendRequest(nil, &l.exchange().Request)
	if err != nil {
		t.Fatal(err)
	}
	return append(head, l.body.content...)
}

// once does the exchange, as a front does.
func (l *load) once() {
	ex := l.exchange()
	if err := l.p.RoundTrip(ex); err != nil {
		panic(err)
	}
	n := 0
	if b := ex.Response.Body; b != nil {
		for {
			m, err := b.Read(l.buf)
			if n += m; atEnd(err) {
				break
			} else if err != nil {
				panic(err)
			}
		}
	}
	if ex.Response.Status != 200 || n != l.want {
		panic("status " + strconv.Itoa(ex.Response.Status) + ", " + strconv.Itoa(n) + " bytes")
	}
	ex.Finish(int64(n), nil)
	exchange.Put(ex)
}

func okOf(body []byte) []byte {
	return append([]byte("HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/html\r\n"+
		"Content-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"), body...)
}

func chunkedOf(body []byte) []byte {
	b := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
	for half := range bytesInHalves(body) {
		b = append(strconv.AppendInt(b, int64(len(half)), 16), "\r\n"...)
		b = append(append(b, half...), "\r\n"...)
	}
	return append(b, "0\r\n\r\n"...)
}

func bytesInHalves(b []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		_ = yield(b[:len(b)/2]) && yield(b[len(b)/2:])
	}
}

var kib = bytes.Repeat([]byte("x"), 1<<10)

func loads() map[string]func() (l *load, answer []byte, want int) {
	return map[string]func() (*load, []byte, int){
		"GET 1 KiB":      func() (*load, []byte, int) { return newLoad("GET", nil), okOf(kib), len(kib) },
		"POST 1 KiB":     func() (*load, []byte, int) { return newLoad("POST", kib), okOf(kib), len(kib) },
		"GET chunked":    func() (*load, []byte, int) { return newLoad("GET", nil), chunkedOf(kib), len(kib) },
		"GET no content": func() (*load, []byte, int) { return newLoad("GET", nil), okOf(nil), 0 },
		"GET 256 KiB": func() (*load, []byte, int) {
			b := bytes.Repeat(kib, 256)
			return newLoad("GET", nil), okOf(b), len(b)
		},
	}
}

func TestNoAllocations(t *testing.T) {
	for name, make := range loads() {
		t.Run(name, func(t *testing.T) {
			l, answer, want := make()
			o := rawOrigin(t, len(l.request(t)), answer)
			l.p, l.want = o.pool(t, Config{}), want
			for range 100 {
				l.once()
			}
			if n := testing.AllocsPerRun(500, l.once); n != 0 && !raceDetector {
				t.Errorf("%v allocations per exchange", n)
			}
			if n := o.accepted.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for name, make := range loads() {
		b.Run(name, func(b *testing.B) {
			l, answer, want := make()
			o := rawOrigin(b, len(l.request(b)), answer)
			l.p, l.want = o.pool(b, Config{}), want
			l.once()
			b.ReportAllocs()
			for b.Loop() {
				l.once()
			}
		})
	}
}

// What the socket work of an exchange costs without any HTTP, to compare.
func BenchmarkPingPong(b *testing.B) {
	l := newLoad("GET", nil)
	head := l.request(b)
	o := rawOrigin(b, len(head), okOf(kib))
	c, err := net.Dial("tcp", o.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a benchmark's end
	buf := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(head); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// What net/http's client costs for the same.
func BenchmarkNetHTTP(b *testing.B) {
	l := newLoad("GET", nil)
	head := l.request(b)
	q, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		b.Fatal(err)
	}
	o := listen(b, func(c net.Conn, r *bufio.Reader, _ int) {
		answer := okOf(kib)
		for {
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 2 {
					break
				}
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	b.ReportAllocs()
	for b.Loop() {
		q2 := q.Clone(b.Context())
		q2.RequestURI, q2.URL.Scheme, q2.URL.Host = "", "http", o.Addr().String()
		resp, err := tr.RoundTrip(q2)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
