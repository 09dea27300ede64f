package h2

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"portway/proxy/exchange"
)

// mirror answers with what an origin would get to see.
func mirror(served *atomic.Int64) exchange.Handler {
	return exchange.HandlerFunc(func(ex *exchange.Exchange) {
		served.Add(1)
		q, p := &ex.Request, &ex.Response
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s%s", q.Method, q.Authority, q.Path)
		if q.HasQuery {
			fmt.Fprintf(&b, "?%s", q.Query)
		}
		for name, value := range q.Fields.All() {
			fmt.Fprintf(&b, "|%s: %s", name, value)
		}
		if q.Body != nil {
			content, err := io.ReadAll(q.Body)
			fmt.Fprintf(&b, "|%d:%s", q.Length, content)
			if err != nil {
				p.Status = 502
				return
			}
			for name, value := range q.Trailers.All() {
				fmt.Fprintf(&b, "|trailer %s: %s", name, value)
			}
		}
		if q.Upgrade != nil {
			fmt.Fprintf(&b, "|upgrade %s", q.Upgrade)
		}
		if q.TETrailers {
			b.WriteString("|te")
		}
		p.Status, p.Length = 200, int64(b.Len())
		p.Body = exchange.BytesBody([]byte(b.String()))
	})
}

// TestHostileFields sends heads that an HTTP/1.1 origin might read in another way
// than we do. want is the reset's code, the status of a refusal, or, for what is
// to be taken, what the origin gets to see.
func TestHostileFields(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	ts := serve(t, false, &Server{Handler: mirror(&served)})
	const malformed = "rst 1 PROTOCOL_ERROR"
	get := func(more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"}, more...)
	}
	target := func(path string) []string {
		return []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", path}
	}
	host := func(authority string) []string {
		return []string{":method", "GET", ":scheme", "https", ":authority", authority, ":path", "/"}
	}
	method := func(m string) []string {
		return []string{":method", m, ":scheme", "https", ":authority", "a", ":path", "/"}
	}
	connect := func(more ...string) []string {
		return append([]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a", ":path", "/"}, more...)
	}
	long := strings.Repeat("x", 2000)
	for _, tt := range []struct {
		name   string
		fields []string
		want   string
	}{
		// Pseudo-headers (RFC 9113 section 8.3).
		{"usual", get("x", "y"), "GET a/|x: y"},
		{"no :method", []string{":scheme", "https", ":authority", "a", ":path", "/"}, malformed},
		{"no :scheme", []string{":method", "GET", ":authority", "a", ":path", "/"}, malformed},
		{"no :path", []string{":method", "GET", ":scheme", "https", ":authority", "a"}, malformed},
		{"empty :method", method(""), malformed},
		{"empty :path", target(""), malformed},
		{"empty :scheme", []string{":method", "GET", ":scheme", "", ":authority", "a", ":path", "/"}, malformed},
		{"two :method", get(":method", "GET"), malformed},
		{"two :scheme", get(":scheme", "https"), malformed},
		{"two :authority", get(":authority", "a"), malformed},
		{"two :path", get(":path", "/"), malformed},
		{"pseudo-header behind a field", []string{":method", "GET", ":scheme", "https", ":authority", "a", "x", "y", ":path", "/"}, malformed},
		{"unknown pseudo-header", get(":x", "y"), malformed},
		{"pseudo-header of responses", get(":status", "200"), malformed},
		{"pseudo-header with upper-case letters", get(":Path", "/"), malformed},
		{":protocol without CONNECT", get(":protocol", "websocket"), malformed},
		{"foreign scheme", []string{":method", "GET", ":scheme", "ftp", ":authority", "a", ":path", "/"}, malformed},
		{"scheme with a request in it", []string{":method", "GET", ":scheme", "http://evil/x?", ":authority", "a", ":path", "/"}, malformed},

		// What becomes the request line.
		{"method with a space", method("GET / HTTP/1.1"), malformed},
		{"method with CRLF", method("GET / HTTP/1.1\r\nX: y\r\n\r\nGET"), malformed},
		{"method with NUL", method("GE\x00T"), malformed},
		{"method with a colon", method("GET:"), malformed},
		{"method, case kept", method("get"), "get a/"},
		{"method too long", method(strings.Repeat("M", 33)), "head 1 501"},
		{"path without slash", target("x"), malformed},
		{"path with a space", target("/ HTTP/1.1"), malformed},
		{"path with CRLF", target("/ HTTP/1.1\r\nHost: evil\r\n\r\n"), malformed},
		{"path with LF", target("/\nX: y"), malformed},
		{"path with CR", target("/\rX"), malformed},
		{"path with NUL", target("/\x00"), malformed},
		{"path with a tab", target("/\t"), malformed},
		{"path with DEL", target("/\x7f"), malformed},
		{"path beyond ASCII", target("/\xc3\xa4"), malformed},
		{"path with a fragment", target("/#x"), malformed},
		{"path with a backslash", target(`/\evil`), malformed},
		{"path with a broken escape", target("/%zz"), malformed},
		{"path with a cut escape", target("/%4"), malformed},
		{"absolute URL as path", target("https://evil/"), malformed},
		{"authority as path", target("evil:443"), malformed},
		{"query with a space", target("/?x HTTP/1.1"), malformed},
		{"query with CRLF", target("/?x\r\nX: y"), malformed},
		{"query", target("/p%20q?a=b&c=/?d"), "GET a/p%20q?a=b&c=/?d"},
		{"empty query", target("/?"), "GET a/?"},
		{"asterisk with GET", target("*"), malformed},
		{"asterisk with OPTIONS", []string{":method", "OPTIONS", ":scheme", "https", ":authority", "a", ":path", "*"}, "OPTIONS a*"},
		{"CONNECT", []string{":method", "CONNECT", ":authority", "a:443"}, "head 1 501"},
		{"CONNECT with a path", []string{":method", "CONNECT", ":scheme", "https", ":authority", "a:443", ":path", "/"}, malformed},
		{"CONNECT without authority", []string{":method", "CONNECT"}, malformed},

		// Which site.
		{"empty authority", host(""), malformed},
		{"authority with user", host("user@a"), malformed},
		{"authority with CRLF", host("a\r\nX: y"), malformed},
		{"authority with a space", host("a b"), malformed},
		{"authority with a path", host("a/b"), malformed},
		{"authority with a comma", host("a,b"), malformed},
		{"authority with a backslash", host(`a\b`), malformed},
		{"authority with a query", host("a?b"), malformed},
		{"port that is no number", host("a:b"), malformed},
		{"port too large", host("a:65536"), malformed},
		{"port", host("a:8443"), "GET a:8443/"},
		{"IPv6", host("[::1]:8443"), "GET [::1]:8443/"},
		{"broken IPv6", host("[::1"), malformed},
		{"host differs", get("host", "b"), malformed},
		{"host with another port", get("host", "a:80"), malformed},
		{"host agrees", get("host", "A"), "GET a/"},
		{"two hosts that agree", get("host", "a", "host", "a"), malformed},
		{"host only", []string{":method", "GET", ":scheme", "https", ":path", "/", "host", "a"}, "GET a/"},
		{"host only, broken", []string{":method", "GET", ":scheme", "https", ":path", "/", "host", "a b"}, malformed},
		{"no host at all", []string{":method", "GET", ":scheme", "https", ":path", "/"}, "head 1 400"},

		// Fields (section 8.2).
		{"upper-case name", get("X", "y"), malformed},
		{"empty name", get("", "y"), malformed},
		{"name with a space", get("x y", "z"), malformed},
		{"name with a colon", get("x:y", "z"), malformed},
		{"name with CRLF", get("x\r\ny", "z"), malformed},
		{"name with NUL", get("x\x00", "z"), malformed},
		{"name beyond ASCII", get("x\xff", "z"), malformed},
		{"transfer-encoding with a space before the colon", get("transfer-encoding ", "chunked"), malformed},
		{"value with CRLF", get("x", "y\r\nTransfer-Encoding: chunked"), malformed},
		{"value with LF", get("x", "y\nz"), malformed},
		{"value with CR", get("x", "y\rz"), malformed},
		{"value with NUL", get("x", "y\x00"), malformed},
		{"value with another control", get("x", "y\x01"), malformed},
		{"value with DEL", get("x", "y\x7f"), malformed},
		{"value with leading space", get("x", " y"), malformed},
		{"value with trailing tab", get("x", "y\t"), malformed},
		{"value with CRLF far in", get("x", long+"\r\n"+long), malformed},
		{"empty value", get("x", ""), "GET a/|x: "},
		{"value beyond ASCII", get("x", "\xe4"), "GET a/|x: \xe4"},
		{"connection", get("connection", "close"), malformed},
		{"connection that names a field", get("connection", "x-forwarded-for"), malformed},
		{"keep-alive", get("keep-alive", "1"), malformed},
		{"proxy-connection", get("proxy-connection", "keep-alive"), malformed},
		{"transfer-encoding", get("transfer-encoding", "chunked"), malformed},
		{"transfer-encoding of nothing", get("transfer-encoding", ""), malformed},
		{"upgrade", get("upgrade", "h2c"), malformed},
		{"http2-settings is dropped", get("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"), "GET a/"},
		{"te: trailers", get("te", "trailers"), "GET a/|te"},
		{"te of something else", get("te", "gzip"), malformed},
		{"te of two", get("te", "trailers, gzip"), malformed},
		{"expect of something else", get("expect", "miracles"), "head 1 417"},
		{"cookies are joined", get("cookie", "a=b", "x", "y", "cookie", "c=d", "cookie", "e=f"), "GET a/|x: y|cookie: a=b; c=d; e=f"},
		{"one cookie", get("cookie", "a=b; c=d"), "GET a/|cookie: a=b; c=d"},
		{"cookie with CRLF", get("cookie", "a=b", "cookie", "c=d\r\nX: y"), malformed},

		// Content-Length against a message without content.
		{"content-length of 0", get("content-length", "0"), "GET a/"},
		{"content-length of 5", get("content-length", "5"), malformed},
		{"content-length with a sign", get("content-length", "+0"), malformed},
		{"negative content-length", get("content-length", "-1"), malformed},
		{"content-length that is hexadecimal", get("content-length", "0x0"), malformed},
		{"content-length of a list", get("content-length", "0, 0"), malformed},
		{"empty content-length", get("content-length", ""), malformed},
		{"content-length twice", get("content-length", "0", "content-length", "0"), malformed},
		{"content-length beyond int64", get("content-length", "18446744073709551616"), malformed},

		// Extended CONNECT (RFC 8441).
		{"extended CONNECT", connect(), "GET a/|upgrade websocket"},
		{"extended CONNECT with upgrade", connect("upgrade", "websocket"), malformed},
		{"extended CONNECT with content-length", connect("content-length", "5"), malformed},
		{"extended CONNECT with a protocol that is no token", []string{":method", "CONNECT", ":protocol", "web socket", ":scheme", "https", ":authority", "a", ":path", "/"}, malformed},
		{"extended CONNECT without path", []string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a"}, malformed},
		{"extended CONNECT to asterisk", []string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a", ":path", "*"}, malformed},

		// Too much (section 10.5.1).
		{"one field too large", get("x", strings.Repeat("y", 65<<10)), "head 1 431"},
		{"list too large", get(repeat("x", strings.Repeat("y", 2000), 33)...), "head 1 431"},
		{"too many fields", get(repeat("x", "y", 253)...), "head 1 431"},
		{"as many fields as allowed", get(repeat("x", "y", 252)...), "GET a/" + strings.Repeat("|x: y", 252)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ts.dial(t)
			before := served.Load()
			block := c.encode(tt.fields...)
			writeBlock(c, 1, true, block)
			switch {
			case strings.HasPrefix(tt.want, "rst"):
				c.want(tt.want)
			case strings.HasPrefix(tt.want, "head"):
				c.want(tt.want)
			default:
				if c.want("head 1 200"); c.body(1) == "" {
					c.want("data 1")
				}
				if got := c.body(1); got != tt.want {
					t.Errorf("origin saw %q, want %q", got, tt.want)
				}
				return
			}
			if served.Load() != before {
				t.Error("the handler was bothered")
			}
			// The connection, and its compression state, survive.
			c.headers(3, true, c.get("x", "y"))
			c.want("head 3 200")
		})
	}
}

func repeat(name, value string, n int) []string {
	var fields []string
	for range n {
		fields = append(fields, name, value)
	}
	return fields
}

// writeBlock writes a block in as many frames as it needs.
func writeBlock(c *rawClient, id uint32, end bool, block []byte) {
	n := min(len(block), maxFrame)
	var flags uint8
	if end {
		flags = flagEndStream
	}
	if n == len(block) {
		flags |= flagEndHeaders
	}
	c.raw(string(appendFrameHeader(nil, n, frameHeaders, flags, id)) + string(block[:n]))
	for block = block[n:]; len(block) > 0; block = block[n:] {
		flags = 0
		if n = min(len(block), maxFrame); n == len(block) {
			flags = flagEndHeaders
		}
		c.raw(string(appendFrameHeader(nil, n, frameContinuation, flags, id)) + string(block[:n]))
	}
}

// TestHostileContent sends content and trailers that disagree with the head.
func TestHostileContent(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	ts := serve(t, false, &Server{Handler: mirror(&served)})
	data := func(c *rawClient, end bool, s string) { _ = c.fr.WriteData(1, end, []byte(s)) }
	const malformed = "rst 1 PROTOCOL_ERROR"
	for _, tt := range []struct {
		name, want string
		run        func(c *rawClient)
	}{
		{"as long as it says", "POST localhost/post|5:hello", func(c *rawClient) {
			c.headers(1, false, c.post("content-length", "5"))
			data(c, true, "hello")
		}},
		{"without content-length, at once", "POST localhost/post|5:hello", func(c *rawClient) {
			block := string(c.post())
			c.raw(string(appendFrameHeader(nil, len(block), frameHeaders, flagEndHeaders, 1)) + block +
				string(appendFrameHeader(nil, 5, frameData, flagEndStream, 1)) + "hello")
		}},
		{"empty after all", "POST localhost/post", func(c *rawClient) {
			c.headers(1, false, c.post("content-length", "0"))
			data(c, true, "")
		}},
		{"longer", malformed, func(c *rawClient) { c.headers(1, false, c.post("content-length", "4")); data(c, true, "hello") }},
		{"longer, by a second frame", malformed, func(c *rawClient) {
			c.headers(1, false, c.post("content-length", "5"))
			data(c, false, "hello")
			data(c, false, "GET /admin")
		}},
		{"shorter", malformed, func(c *rawClient) { c.headers(1, false, c.post("content-length", "6")); data(c, true, "hello") }},
		{"nothing", malformed, func(c *rawClient) { c.headers(1, false, c.post("content-length", "5")); data(c, true, "") }},
		{"something though 0 was said", malformed, func(c *rawClient) { c.headers(1, false, c.post("content-length", "0")); data(c, true, "x") }},
		{"shorter, ended by trailers", malformed, func(c *rawClient) {
			c.headers(1, false, c.post("content-length", "6"))
			data(c, false, "hello")
			c.headers(1, true, c.encode("x", "y"))
		}},
		{"trailers", "POST localhost/post|-1:hello|trailer x: y", func(c *rawClient) {
			c.headers(1, false, c.post())
			data(c, false, "hello")
			c.headers(1, true, c.encode("x", "y"))
		}},
		{"trailers without content", "POST localhost/post|-1:|trailer x: y", func(c *rawClient) {
			c.headers(1, false, c.post())
			c.headers(1, true, c.encode("x", "y"))
		}},
		{"pseudo-header in trailers", malformed, func(c *rawClient) { c.headers(1, false, c.post()); c.headers(1, true, c.encode(":path", "/admin")) }},
		{"transfer-encoding in trailers", malformed, func(c *rawClient) {
			c.headers(1, false, c.post())
			c.headers(1, true, c.encode("transfer-encoding", "chunked"))
		}},
		{"content-length in trailers", malformed, func(c *rawClient) {
			c.headers(1, false, c.post())
			c.headers(1, true, c.encode("content-length", "5"))
		}},
		{"host in trailers", malformed, func(c *rawClient) { c.headers(1, false, c.post()); c.headers(1, true, c.encode("host", "b")) }},
		{"CRLF in trailers", malformed, func(c *rawClient) { c.headers(1, false, c.post()); c.headers(1, true, c.encode("x", "y\r\nz: a")) }},
		{"upper-case name in trailers", malformed, func(c *rawClient) { c.headers(1, false, c.post()); c.headers(1, true, c.encode("X", "y")) }},
		{"extended CONNECT with content-length", malformed, func(c *rawClient) {
			c.headers(1, false, c.encode(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a", ":path", "/", "content-length", "5"))
		}},
		{"refused with content to come", "rst 1 NO_ERROR", func(c *rawClient) {
			c.headers(1, false, c.post("expect", "miracles"))
			c.want("head 1 417")
			data(c, true, "on its way")
		}},
		{"trailers too large", "rst 1 ENHANCE_YOUR_CALM", func(c *rawClient) {
			c.headers(1, false, c.post())
			writeBlock(c, 1, true, c.encode(repeat("x", strings.Repeat("y", 2000), 33)...))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ts.dial(t)
			tt.run(c)
			if strings.HasPrefix(tt.want, "rst") {
				c.want(tt.want)
				c.alive()
				return
			}
			if c.want("head 1 200"); c.body(1) == "" {
				c.want("data 1")
			}
			if got := c.body(1); got != tt.want {
				t.Errorf("origin saw %q, want %q", got, tt.want)
			}
		})
	}
}
