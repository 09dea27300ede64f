package h1

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// socketPair is a connection without a listener.
func socketPair(tb testing.TB) (client, server net.Conn) {
	tb.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		if ends[i], err = net.FileConn(f); err != nil {
			tb.Fatal(err)
		}
		_ = f.Close()
	}
	return ends[0], ends[1]
}

// canned answers without allocating: what an upstream does when all of the answer
// has come with its head.
type canned struct {
	text []byte
	body cannedBody
	in   [64 << 10]byte
	// chunked leaves the length out.
	chunked bool
}

type cannedBody struct{ rest []byte }

func (b *cannedBody) Read(p []byte) (int, error) {
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}
func (b *cannedBody) Buffered() int { return len(b.rest) }
func (b *cannedBody) Close() error  { return nil }

func (h *canned) Serve(ex *exchange.Exchange) {
	if ex.Request.Body != nil {
		for {
			if _, err := ex.Request.Body.Read(h.in[:]); err != nil {
				break
			}
		}
	}
	p := &ex.Response
	p.Status, p.Length = 200, int64(len(h.text))
	if h.chunked {
		p.Length = exchange.LengthUnknown
	}
	p.Fields.AddString("Content-Type", "text/plain")
	p.Fields.AddString("Server", "canned")
	h.body.rest = h.text
	p.Body = &h.body
}

// loop runs exchanges of one kind on one connection; once does one.
func loop(tb testing.TB, h exchange.Handler, secure bool, request string) (once func()) {
	tb.Helper()
	client, server := socketPair(tb)
	s := &Server{Handler: h}
	info := &exchange.Conn{Protocol: exchange.HTTP11}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if secure {
			serveAccepted(s, server, true)
		} else {
			s.ServeConn(server, info)
		}
	}()
	if secure {
		client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	}
	tb.Cleanup(func() {
		_ = client.Close()
		<-ended
	})
	out := []byte(request)
	in := make([]byte, 256<<10)
	write := func() {
		if _, err := client.Write(out); err != nil {
			tb.Fatal(err)
		}
	}
	write()
	n, err := client.Read(in)
	if err != nil {
		tb.Fatal(err)
	}
	return func() {
		write()
		if _, err := io.ReadFull(client, in[:n]); err != nil {
			tb.Fatal(err)
		}
	}
}

const (
	getRequest  = "GET /path?query HTTP/1.1\r\nHost: test\r\nUser-Agent: x/1\r\nAccept: */*\r\n\r\n"
	postRequest = "POST /path HTTP/1.1\r\nHost: test\r\nContent-Type: x\r\nContent-Length: 1024\r\n\r\n"
)

type scenario struct {
	name, request string
	handler       func() exchange.Handler
}

func scenarios() []scenario {
	kib := make([]byte, 1024)
	for i := range kib {
		kib[i] = 'x'
	}
	length := func() exchange.Handler { return &canned{text: kib} }
	chunked := func() exchange.Handler { return &canned{text: kib, chunked: true} }
	return []scenario{
		{"GET 1 KiB", getRequest, length},
		{"GET 1 KiB chunked", getRequest, chunked},
		{"POST 1 KiB", postRequest + string(kib), length},
		{"POST 1 KiB chunked", "POST /path HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + string(kib) + "\r\n0\r\n\r\n", length},
	}
}

// tlsRecordAllocs is what crypto/tls itself allocates to read one record: an
// io.Reader of 24 bytes. The client of these tests reads one too.
const tlsRecordAllocs = 1

// A steady exchange allocates nothing; crypto/tls does so once for each record
// that it reads.
func TestNoAllocationsPerExchange(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget at random under the race detector")
	}
	for _, sc := range scenarios() {
		for _, secure := range []bool{false, true} {
			once := loop(t, sc.handler(), secure, sc.request)
			for range 200 { // TLS records grow at first
				once()
			}
			want := 0.0
			if secure {
				want = 2 * tlsRecordAllocs
			}
			if n := testing.AllocsPerRun(500, once); n != want {
				t.Errorf("%s, TLS %t: %v allocations, want %v", sc.name, secure, n, want)
			}
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, sc := range scenarios() {
		for name, secure := range map[string]bool{"plain": false, "TLS": true} {
			b.Run(sc.name+"/"+name, func(b *testing.B) {
				once := loop(b, sc.handler(), secure, sc.request)
				b.ReportAllocs()
				for b.Loop() {
					once()
				}
			})
		}
	}
}

// download yields n bytes of content in pieces as a socket would.
type download struct{ left int }

func (d *download) Read(p []byte) (int, error) {
	n := min(len(p), d.left)
	if d.left -= n; d.left == 0 {
		return n, io.EOF
	}
	return n, nil
}
func (d *download) Buffered() int { return d.left }
func (d *download) Close() error  { return nil }

// BenchmarkDownload writes 10 MiB over loopback TCP with and without a Cork.
func BenchmarkDownload(b *testing.B) {
	const size = 10 << 20
	for _, tt := range []struct {
		name         string
		cork, secure bool
	}{{"plain", false, false}, {"TLS", false, true}, {"TLS, corked", true, true}} {
		b.Run(tt.name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			s := &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
				ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, size, &download{size}
			})}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				nc, err := l.Accept()
				if err != nil {
					return
				}
				if tt.cork {
					nc = wire.NewCork(nc)
				}
				if tt.secure {
					nc = tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{testCert()}})
				}
				s.ServeConn(nc, &exchange.Conn{Protocol: exchange.HTTP11})
			}()
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = client.Close(); <-ended }()
			if tt.secure {
				client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
			}
			in := make([]byte, 256<<10)
			b.SetBytes(size)
			b.ReportAllocs()
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			for b.Loop() {
				if _, err := io.WriteString(client, getRequest); err != nil {
					b.Fatal(err)
				}
				for left := size + len("HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n"); left > 0; {
					n, err := client.Read(in)
					if err != nil {
						b.Fatal(err)
					}
					left -= n
				}
			}
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			cpu := func(r syscall.Rusage) float64 { return float64(r.Utime.Nano() + r.Stime.Nano()) }
			b.ReportMetric((cpu(after)-cpu(before))/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
}
