package h2

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"portway/proxy/exchange"
)

// canned answers like an origin of small files.
var canned = exchange.HandlerFunc(func(ex *exchange.Exchange) {
	p := &ex.Response
	p.Status = 200
	f := &p.Fields
	f.AddString("Server", "origin")
	f.AddString("Date", "Mon, 02 Jan 2006 15:04:05 GMT")
	f.AddString("Content-Type", "text/html; charset=utf-8")
	f.AddString("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
	f.AddString("ETag", `"abcdef"`)
	f.AddString("Strict-Transport-Security", "max-age=31536000")
	if q := &ex.Request; q.Body != nil {
		p.Length, p.Body = q.Length, q.Body // an echo
		return
	}
	b := cannedBodies.Get().(*cannedBody)
	b.left = content1K
	p.Length, p.Body = int64(len(content1K)), b
})

var (
	content1K    = make([]byte, 1024)
	cannedBodies = sync.Pool{New: func() any { return new(cannedBody) }}
)

type cannedBody struct{ left []byte }

func (b *cannedBody) Buffered() int { return len(b.left) }

func (b *cannedBody) Read(p []byte) (int, error) {
	n := copy(p, b.left)
	if b.left = b.left[n:]; len(b.left) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (b *cannedBody) Close() error { cannedBodies.Put(b); return nil }

// loader sends requests by the batch and takes the answers, without allocating.
type loader struct {
	nc    net.Conn
	id    uint32
	first []byte // fills the tables
	block []byte
	data  []byte
	out   []byte
	in    []byte
}

func newLoader(t testing.TB, s *Server, post bool) *loader {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { s.ServeConn(server, &exchange.Conn{Protocol: exchange.HTTP2}); close(done) }()
	t.Cleanup(func() { _ = nc.Close(); <-done })
	ld := &loader{nc: nc, id: 1, in: make([]byte, 64<<10)}
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "GET"},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "www.example.com"},
		{Name: ":path", Value: "/index.html?x=y"},
		{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64)"},
		{Name: "accept", Value: "text/html,application/xhtml+xml,*/*;q=0.8"},
		{Name: "accept-encoding", Value: "gzip, deflate, br"},
		{Name: "cookie", Value: "session=0123456789abcdef"},
		{Name: "cookie", Value: "theme=dark"},
	}
	if post {
		fields[0].Value = "POST"
		ld.data = content1K
	}
	for range 2 {
		b.Reset()
		for _, f := range fields {
			// Browsers and nghttp2 do not index paths.
			if f.Sensitive = f.Name == ":path"; f.Sensitive {
				b.Write([]byte{0x04, byte(len(f.Value))})
				b.WriteString(f.Value)
				continue
			}
			if err := enc.WriteField(f); err != nil {
				t.Fatal(err)
			}
		}
		ld.first, ld.block = ld.block, bytes.Clone(b.Bytes())
	}
	out := append([]byte(preface), appendSettings(nil, setting{settingInitialWindowSize, maxWindow})...)
	out = appendWindowUpdate(out, 0, maxWindow-defaultWindow)
	block := ld.block
	ld.block, ld.out = ld.first, out
	ld.batch(t, 1)
	ld.block = block
	return ld
}

// batch makes n requests at once and waits for all answers.
func (ld *loader) batch(t testing.TB, n int) {
	for range n {
		var end uint8 = flagEndStream
		if ld.data != nil {
			end = 0
		}
		ld.out = append(appendFrameHeader(ld.out, len(ld.block), frameHeaders, flagEndHeaders|end, ld.id), ld.block...)
		if ld.data != nil {
			ld.out = append(appendFrameHeader(ld.out, len(ld.data), frameData, flagEndStream, ld.id), ld.data...)
		}
		ld.id += 2
	}
	if _, err := ld.nc.Write(ld.out); err != nil {
		t.Fatal(err)
	}
	ld.out = ld.out[:0]
	have := 0
	for n > 0 {
		m, err := ld.nc.Read(ld.in[have:])
		if err != nil {
			t.Fatal(err)
		}
		have += m
		b := ld.in[:have]
		for len(b) >= headerLen {
			h := parseFrameHeader(b)
			if len(b) < headerLen+h.length {
				break
			}
			if h.typ == frameGoAway || h.typ == frameRSTStream {
				t.Fatalf("server sent %q", b[:headerLen+h.length])
			}
			if h.typ == frameData && h.has(flagEndStream) {
				n--
			}
			b = b[headerLen+h.length:]
		}
		have = copy(ld.in, b)
	}
}

// TestAllocations asserts what the front may allocate for a request.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget at random under the race detector")
	}
	for name, post := range map[string]bool{"GET": false, "POST of 1 KiB": true} {
		ld := newLoader(t, &Server{Handler: canned}, post)
		for range 50 {
			ld.batch(t, 16)
		}
		per := testing.AllocsPerRun(200, func() { ld.batch(t, 16) }) / 16
		t.Logf("%s: %.2f allocations per request", name, per)
		if per > 2 {
			t.Errorf("%s: %.2f allocations per request, want at most 2", name, per)
		}
	}
}

// TestIdleMemory looks at what a connection holds that has been used and is
// idle: the goal is 20 KiB with TLS.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("stacks are larger under the race detector")
	}
	const conns = 200
	s := &Server{Handler: canned}
	before := inUse()
	for range conns {
		newLoader(t, s, false).batch(t, 16)
	}
	time.Sleep(10 * time.Millisecond) // answers are read before their makers are done
	per := (int(inUse()) - int(before)) / conns
	t.Logf("%d bytes for each connection, with the client's end of it", per)
	if per > 18<<10 {
		t.Errorf("a used and idle connection holds %d bytes", per)
	}
}

func BenchmarkRequests(b *testing.B) {
	for name, post := range map[string]bool{"GET": false, "POST": true} {
		b.Run(name, func(b *testing.B) {
			ld := newLoader(b, &Server{Handler: canned}, post)
			b.ReportAllocs()
			for i := 0; i < b.N; i += 16 {
				ld.batch(b, 16)
			}
		})
	}
}

func BenchmarkDownload(b *testing.B) {
	ts := serve(b, true, &Server{Handler: download(10 << 20)})
	client, url := ts.client(b)
	b.SetBytes(10 << 20)
	b.ReportAllocs()
	for b.Loop() {
		res, err := client.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, res.Body); n != 10<<20 || err != nil {
			b.Fatal(n, err)
		}
		_ = res.Body.Close()
	}
}

// inUse is the memory of live objects and stacks.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
