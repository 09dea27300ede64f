package h1

import (
	"bytes"
	"strings"
	"testing"

	"portway/proxy/exchange"
)

func TestParseRequestHead(t *testing.T) {
	t.Parallel()
	const message = "\r\nPOST /a%20b?x=1&y HTTP/1.1\r\nHost: Example.com:8443\r\nContent-Length: 5\r\n" +
		"X-Empty:\r\nConnection: close, X-Hop,TE\r\nTE: gzip, trailers\r\nx-hop: gone\r\nExpect: 100-Continue\r\n" +
		"cookie: \t a=b\tc \t\r\nKeep-Alive: 5\r\n\r\nhello"
	var req exchange.Request
	n, head, err := ParseRequestHead([]byte(message), &req, Limits{})
	if err != nil || n != len(message)-5 {
		t.Fatalf("n = %d, err = %v", n, err)
	}
	if got := string(req.Method) + " " + string(req.Authority) + " " + string(req.Path) + " " + string(req.Query); got != "POST Example.com:8443 /a%20b x=1&y" {
		t.Errorf("got %s", got)
	}
	if got := show(&req.Fields); got != "X-Empty= cookie=a=b\tc" {
		t.Errorf("fields %q", got)
	}
	if head.Kind != FixedLength || head.Length != 5 || req.Length != 5 || head.KeepAlive || !head.ExpectContinue || !req.TETrailers || !req.HasQuery {
		t.Errorf("head %+v, request %+v", head, req)
	}
	// Every prefix of a good head is incomplete, never wrong.
	for i := range n {
		if n, _, err := ParseRequestHead([]byte(message[:i]), &req, Limits{}); n != 0 || err != nil {
			t.Fatalf("the first %d bytes: n = %d, err = %v", i, n, err)
		}
	}
}

// A head that comes drop by drop is looked at once, not again and again from its
// begin.
func TestParseDrops(t *testing.T) {
	t.Parallel()
	message := []byte("\r\nGET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 300) + "\r\nLast: 1\r\n\r\nrest")
	var req exchange.Request
	from := 0
	for i := range message {
		n, next, _, err := parseRequestHead(message[:i], from, &req, Limits{})
		if err != nil {
			t.Fatalf("the first %d bytes: %v", i, err)
		}
		if n > 0 {
			if n != len(message)-4 || show(&req.Fields) != "X="+strings.Repeat("y", 300)+" Last=1" {
				t.Errorf("n = %d, fields %s", n, show(&req.Fields))
			}
			return
		}
		if want := bytes.LastIndexByte(message[2:max(i, 2)], '\n') + 1; next != want {
			t.Fatalf("the first %d bytes: the next look begins at %d instead of %d", i, next, want)
		}
		from = next
	}
	t.Error("never complete")
}

func TestParseResponseHead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, message string
		status                int
		length                int64
		framing               Framing
		fields                string
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: 1\r\n\r\n", 200, 5, Framing{Kind: FixedLength, Length: 5, KeepAlive: true}, "A=1"},
		{"empty", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, 0, Framing{KeepAlive: true}, ""},
		{"chunked", "GET", "HTTP/1.1 500 \r\nTransfer-Encoding: Chunked\r\nTrailer: x\r\n\r\n", 500, -1, Framing{Kind: Chunked, KeepAlive: true}, ""},
		{"until close", "GET", "HTTP/1.1 200\r\n\r\n", 200, -1, Framing{Kind: UntilClose}, ""},
		{"1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", 200, 1, Framing{Kind: FixedLength, Length: 1}, ""},
		{"1.0 kept", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\n", 200, 1, Framing{Kind: FixedLength, Length: 1, KeepAlive: true}, ""},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, 5, Framing{KeepAlive: true}, ""},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, -1, Framing{KeepAlive: true}, ""},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304, -1, Framing{KeepAlive: true}, "ETag=x"},
		{"204", "GET", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", 204, 0, Framing{}, ""},
		{"204 with a length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, 0, Framing{}, ""},
		{"interim", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 103, 0, Framing{KeepAlive: true}, "Link=</a>"},
		{"101", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 101, 0, Framing{KeepAlive: true, Upgrade: []byte("websocket")}, ""},
	} {
		var resp exchange.Response
		n, f, err := ParseResponseHead([]byte(tt.message), []byte(tt.method), &resp, Limits{})
		if err != nil || n != len(tt.message) || resp.Status != tt.status || resp.Length != tt.length {
			t.Errorf("%s: n %d, err %v, status %d, length %d", tt.name, n, err, resp.Status, resp.Length)
		}
		if f.Kind != tt.framing.Kind || f.Length != tt.framing.Length || f.KeepAlive != tt.framing.KeepAlive || string(f.Upgrade) != string(tt.framing.Upgrade) {
			t.Errorf("%s: framing %+v, want %+v", tt.name, f, tt.framing)
		}
		if got := show(&resp.Fields); got != tt.fields {
			t.Errorf("%s: fields %q, want %q", tt.name, got, tt.fields)
		}
		for i := range n {
			if n, _, err := ParseResponseHead([]byte(tt.message[:i]), []byte(tt.method), &resp, Limits{}); n != 0 || err != nil {
				t.Errorf("%s, the first %d bytes: n = %d, err = %v", tt.name, i, n, err)
			}
		}
	}
}

// Both parsers and both writers work on the caller's memory.
func TestNoAllocations(t *testing.T) {
	request := []byte("GET /path?query HTTP/1.1\r\nHost: example.com\r\nUser-Agent: x/1\r\nAccept: */*\r\nCookie: a=b\r\nConnection: x-y\r\nX-Y: 1\r\n\r\n")
	response := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nServer: x\r\n\r\n")
	var req exchange.Request
	var resp exchange.Response
	out := make([]byte, 0, 4096)
	got := testing.AllocsPerRun(100, func() {
		if n, _, err := ParseRequestHead(request, &req, Limits{}); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		if n, _, err := ParseResponseHead(response, req.Method, &resp, Limits{}); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		out = appendResponseHead(out[:0], resp.Status, &resp.Fields, responseEnd{Length: resp.Length})
	})
	if got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkHeads(b *testing.B) {
	request := []byte("GET /path?query HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n")
	var req exchange.Request
	b.Run("parse request", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, _ = ParseRequestHead(request, &req, Limits{})
		}
	})
	var resp exchange.Response
	response := []byte("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\nETag: \"0123456789abcdef\"\r\nCache-Control: max-age=0\r\nServer: x\r\n\r\n")
	b.Run("parse response", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, _ = ParseResponseHead(response, req.Method, &resp, Limits{})
		}
	})
	out := make([]byte, 0, 4096)
	b.Run("append response", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out = appendResponseHead(out[:0], 200, &resp.Fields, responseEnd{Length: 1024})
		}
	})
}
