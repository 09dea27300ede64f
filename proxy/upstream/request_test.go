package upstream

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"portway/proxy/exchange"
)

// What goes out for what comes in.
func TestAppendRequest(t *testing.T) {
	t.Parallel()
	body := exchange.BytesBody([]byte("x"))
	tests := []struct {
		name string
		q    func(*exchange.Request)
		want string
	}{
		{"plain", func(*exchange.Request) {}, "GET /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\n\r\n"},
		{"empty query", func(q *exchange.Request) { q.Query = nil }, "GET /a%2fb? HTTP/1.1\r\nHost: app.example\r\n\r\n"},
		{"no query", func(q *exchange.Request) { q.HasQuery = false }, "GET /a%2fb HTTP/1.1\r\nHost: app.example\r\n\r\n"},
		{"asterisk", func(q *exchange.Request) { q.Method, q.Path, q.HasQuery = []byte("OPTIONS"), []byte("*"), false }, "OPTIONS * HTTP/1.1\r\nHost: app.example\r\n\r\n"},
		{"no host, as HTTP/1.0 may", func(q *exchange.Request) { q.Authority = nil }, "GET /a%2fb?c=d HTTP/1.1\r\nHost: \r\n\r\n"},
		{"fields keep order, case and repetition", func(q *exchange.Request) {
			q.Fields.AddString("b", "1")
			q.Fields.AddString("A", "")
			q.Fields.AddString("b", "tab\there, \xfcmlaut")
		}, "GET /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\nb: 1\r\nA: \r\nb: tab\there, \xfcmlaut\r\n\r\n"},
		{"length", func(q *exchange.Request) { q.Body, q.Length = body, 1 }, "GET /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1\r\n\r\n"},
		{"chunked", func(q *exchange.Request) { q.Body, q.Length = body, -1 }, "GET /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"POST without a body says so", func(q *exchange.Request) { q.Method = []byte("POST") }, "POST /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n"},
		{"trailers wanted", func(q *exchange.Request) { q.TETrailers = true }, "GET /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\nTE: trailers\r\nConnection: TE\r\n\r\n"},
		{"upgrade", func(q *exchange.Request) { q.Upgrade = []byte("websocket") }, "GET /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
		{"upgrade and trailers", func(q *exchange.Request) { q.Upgrade, q.TETrailers = []byte("foo/2"), true }, "GET /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\nTE: trailers\r\nUpgrade: foo/2\r\nConnection: Upgrade, TE\r\n\r\n"},
		{"an upgrade with a body is not asked for", func(q *exchange.Request) { q.Upgrade, q.Body, q.Length = []byte("foo/2"), body, 1 }, "GET /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1\r\n\r\n"},
	}
	for _, tt := range tests {
		ex := newExchange("GET", "/a%2fb?c=d")
		tt.q(&ex.Request)
		got, err := appendRequest(nil, &ex.Request)
		if string(got) != tt.want || err != nil {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}

// What would not be one message with one meaning is not sent, by either protocol.
func TestInvalidRequests(t *testing.T) {
	t.Parallel()
	field := func(name, value string) func(*exchange.Request) {
		return func(q *exchange.Request) { q.Fields.AddString(name, value) }
	}
	tests := []struct {
		name string
		q    func(*exchange.Request)
		text string
	}{
		{"no method", func(q *exchange.Request) { q.Method = nil }, "method"},
		{"space in the method", func(q *exchange.Request) { q.Method = []byte("GET /x") }, "method"},
		{"CRLF in the method", func(q *exchange.Request) { q.Method = []byte("GET\r\n") }, "method"},
		{"no path", func(q *exchange.Request) { q.Path = nil }, "slash"},
		{"absolute form", func(q *exchange.Request) { q.Path = []byte("http://evil/") }, "slash"},
		{"space in the path", func(q *exchange.Request) { q.Path = []byte("/ HTTP/1.1") }, "white space"},
		{"CR in the path", func(q *exchange.Request) { q.Path = []byte("/\r\nX: y") }, "white space"},
		{"LF in the query", func(q *exchange.Request) { q.Query, q.HasQuery = []byte("a\nb"), true }, "white space"},
		{"NUL in the host", func(q *exchange.Request) { q.Authority = []byte("a\x00") }, "host"},
		{"CRLF in the host", func(q *exchange.Request) { q.Authority = []byte("a\r\nX: y") }, "host"},
		{"CRLF in a value", field("X", "a\r\nY: b"), `"X" has control characters`},
		{"bare LF in a value", field("X", "a\nY: b"), `"X" has control characters`},
		{"bare CR in a value", field("X", "a\rb"), `"X" has control characters`},
		{"NUL in a value", field("X", "a\x00b"), `"X" has control characters`},
		{"empty name", field("", "x"), "name of a field"},
		{"colon in a name", field("X:", "x"), "name of a field"},
		{"space behind a name", field("X ", "x"), "name of a field"},
		{"CRLF in a name", field("X\r\nY", "x"), "name of a field"},
		{"Content-Length by hand", field("content-LENGTH", "5"), "belongs to the connection"},
		{"Transfer-Encoding by hand", field("Transfer-Encoding", "chunked"), "belongs to the connection"},
		{"Host by hand", field("Host", "evil"), "belongs to the connection"},
		{"Connection by hand", field("Connection", "close"), "belongs to the connection"},
		{"Upgrade by hand", field("Upgrade", "h2c"), "belongs to the connection"},
		{"TE by hand", field("TE", "gzip"), "belongs to the connection"},
		{"CRLF in Upgrade", func(q *exchange.Request) { q.Upgrade = []byte("x\r\nY: z") }, "Upgrade"},
		{"a length without a body", func(q *exchange.Request) { q.Length = 5 }, "length 5"},
	}
	for _, tt := range tests {
		for _, scheme := range []string{"http", "h2c"} {
			p := NewPool(Config{Network: "tcp", Address: "127.0.0.1:1", Scheme: scheme})
			ex := newExchange("GET", "/")
			tt.q(&ex.Request)
			res := run(p, ex)
			wantErr(t, res.err, ErrInvalid, tt.text)
			if res.err != nil && strings.Contains(res.err.Error(), "Y: b") {
				t.Errorf("%s: %q shows a value, which may be a secret", tt.name, res.err)
			}
		}
	}
}

// FuzzAppendRequest gives anything to the writer: either it refuses, or net/http
// reads exactly one request with the same meaning.
func FuzzAppendRequest(f *testing.F) {
	f.Add("GET", "/", "a=b", "example.com", "X-Name", "value", "Other", "1", false)
	f.Add("POST", "/a//b", "", "", "Content-Length", "5", "x", "a\tb", true)
	f.Add("GET", "/ HTTP/1.1\r\n", "\n", "h\r\n", "A\r\nB", "c\r\n\r\nGET / HTTP/1.1", "", "\x00", true)
	f.Fuzz(func(t *testing.T, method, path, query, host, name1, value1, name2, value2 string, chunked bool) {
		ex := newExchange(method, "/")
		defer exchange.Put(ex)
		q := &ex.Request
		q.Path, q.Query, q.HasQuery, q.Authority = []byte(path), []byte(query), query != "", []byte(host)
		q.Fields.AddString(name1, strings.Trim(value1, " \t"))
		q.Fields.AddString(name2, strings.Trim(value2, " \t"))
		want := ""
		if chunked {
			q.Body, q.Length = exchange.BytesBody([]byte("x")), exchange.LengthUnknown
			want = "x"
		}
		b, err := appendRequest(nil, q)
		if err != nil {
			return
		}
		if n := bytes.Count(b, []byte("\n")); n != 5 && !chunked && !announcesNothing(q.Method) {
			t.Fatalf("%d lines in %q", n, b)
		}
		if chunked {
			b = append(b, "1\r\nx\r\n0\r\n\r\n"...)
		}
		r := bufio.NewReader(bytes.NewReader(b))
		got, err := http.ReadRequest(r)
		if err != nil {
			// net/http wants hosts, targets and field values to be even finer.
			return
		}
		content, err := io.ReadAll(got.Body)
		if err != nil || string(content) != want {
			t.Errorf("body %q, %v of %q", content, err, b)
		}
		if rest, _ := io.ReadAll(r); len(rest) > 0 {
			t.Errorf("%q is more than one request", b)
		}
		target := path
		if query != "" {
			target += "?" + query
		}
		if got.Method != method || got.RequestURI != target || got.Host != host {
			t.Errorf("%q was read as %s %s for %s", b, got.Method, got.RequestURI, got.Host)
		}
		if len(got.Header)+len(got.TransferEncoding) > 4 {
			t.Errorf("%q has fields %v", b, got.Header)
		}
	})
}
