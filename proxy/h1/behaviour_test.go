package h1

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// piped is a response body whose pieces a test sends one by one.
type piped struct {
	*io.PipeReader
	w *io.PipeWriter
}

func newPiped() piped {
	r, w := io.Pipe()
	return piped{r, w}
}

// outcomes collects how exchanges ended.
type outcomes chan error

func (o outcomes) Done(_ *exchange.Exchange, _ int64, err error) { o <- err }

func (o outcomes) next(t *testing.T) error {
	t.Helper()
	select {
	case err := <-o:
		return err
	case <-time.After(patience):
		t.Fatal("the exchange does not end")
		return nil
	}
}

func TestContinue(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			if string(ex.Request.Path) == "/unread" {
				answer(ex, "no")
				return
			}
			echo(ex)
		})}, secure)
		c := r.dial()
		const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
		c.send(head)
		c.expect("HTTP/1.1 100 Continue\r\n\r\n")
		c.send("hello")
		c.expectOK("", "POST x /  HTTP/1.1 hello")
		c.send(head + "hello") // did not wait, so need not be told
		c.expectOK("", "POST x /  HTTP/1.1 hello")
		// Nobody knows what comes next if the content was never asked for.
		c.send(strings.Replace(head, " / ", " /unread ", 1))
		c.expectOK("Connection: close\r\n", "no")
		c.expectEnd()
	})
}

func TestInform(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			var hints exchange.Fields
			hints.AddString("Link", "</a.css>")
			ex.Front.Inform(ex, 103, &hints)
			ex.Front.Inform(ex, 100, nil) // is ours to send
			ex.Front.Inform(ex, 101, nil)
			answer(ex, "x")
		})}, secure)
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expect("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
		c.expectOK("", "x")
		c.send("GET / HTTP/1.0\r\n\r\n")
		c.expectOK("Connection: close\r\n", "x")
		c.expectEnd()
	})
}

// Content is passed on when it comes, and the end when it comes.
func TestStreaming(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		bodies := make(chan piped, 1)
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			body := newPiped()
			ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, exchange.LengthUnknown, body
			ex.Response.Trailers.AddString("Grpc-Status", "0")
			ex.Response.Trailers.AddString("Content-Length", "5") // never in trailers
			bodies <- body
		})}, secure)
		c := r.dial()
		for range 2 {
			c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			body := <-bodies
			c.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for _, piece := range []string{"data: 1\n\n", "data: 2\n\n"} {
				_, _ = io.WriteString(body.w, piece)
				c.expect("9\r\n" + piece + "\r\n")
			}
			_ = body.w.Close()
			c.expect("0\r\nGrpc-Status: 0\r\n\r\n")
		}
		c.send("GET / HTTP/1.0\r\n\r\n")
		body := <-bodies
		c.expect("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
		_, _ = io.WriteString(body.w, "data: 1\n\n")
		c.expect("data: 1\n\n")
		_ = body.w.Close()
		c.expectEnd()
	})
}

func TestNoContent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method string
		status int
		length int64
		want   string
	}{
		{"HEAD", 200, 7, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"},
		{"HEAD", 200, -1, "HTTP/1.1 200 OK\r\n\r\n"},
		{"HEAD", 204, 7, "HTTP/1.1 204 No Content\r\n\r\n"},
		{"GET", 204, 0, "HTTP/1.1 204 No Content\r\n\r\n"},
		{"GET", 304, 7, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"},
		{"GET", 304, 0, "HTTP/1.1 304 Not Modified\r\n\r\n"},
		{"GET", 304, -1, "HTTP/1.1 304 Not Modified\r\n\r\n"},
	}
	var i int
	c := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		tt := tests[i/2]
		ex.Response.Status, ex.Response.Length = tt.status, tt.length
		if i%2 == 1 { // a body that must not be sent
			ex.Response.Body = exchange.BytesBody([]byte("content"))
		}
		i++
	})}, false).dial()
	for _, tt := range tests {
		for range 2 {
			c.send(tt.method + " / HTTP/1.1\r\nHost: x\r\n\r\n")
			c.expect(tt.want)
		}
	}
	c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

func TestEmptyContent(t *testing.T) {
	t.Parallel()
	c := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ex.Response.Status = 200
		switch string(ex.Request.Path) {
		case "/empty":
			ex.Response.Body = exchange.BytesBody(nil)
		case "/unknown":
			ex.Response.Length, ex.Response.Body = -1, exchange.BytesBody(nil)
		}
	})}, false).dial()
	for _, path := range []string{"/none", "/empty"} {
		c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
	c.send("GET /unknown HTTP/1.1\r\nHost: x\r\n\r\n")
	c.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
}

// A response that is cut short never looks complete, and one that is too long is
// cut at its length.
func TestBrokenContent(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		broken := errors.New("origin broke")
		ends := make(outcomes, 1)
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			ex.OnDone(ends)
			p := &ex.Response
			p.Status = 200
			p.Length = -1
			body := newPiped()
			p.Body = body
			path := string(ex.Request.Path)
			if strings.HasPrefix(path, "/fixed") {
				p.Length = 5
			}
			go func() {
				_, _ = io.WriteString(body.w, "hell")
				switch {
				case strings.HasSuffix(path, "/short"):
					_ = body.w.Close()
				case strings.HasSuffix(path, "/long"):
					_, _ = io.WriteString(body.w, "o")
					_, _ = io.WriteString(body.w, "!")
				default:
					_ = body.w.CloseWithError(broken)
				}
			}()
		})}, secure)
		for _, tt := range []struct {
			request, want string
			complete      bool
		}{
			{"GET /fixed/broken HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false},
			{"GET /fixed/short HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false},
			{"GET /fixed/long HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true},
			{"GET /chunked HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n", false},
			{"GET /until-close HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhell", false},
		} {
			c := r.dial()
			c.send(tt.request)
			c.expect(tt.want)
			rest, err := io.ReadAll(c.r)
			if len(rest) > 0 {
				t.Errorf("%q: %q follows", tt.request, rest)
			}
			if strings.Contains(tt.request, "until-close") && err == nil {
				t.Errorf("%q: the end looks like that of a complete response", tt.request)
			}
			if err := ends.next(t); err == nil {
				t.Errorf("%q: no error is told", tt.request)
			}
		}
	})
}

// What a handler gets wrong becomes an error page, and is not sent.
func TestHandlerFaults(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		p := &ex.Response
		switch string(ex.Request.Path) {
		case "/panic":
			answer(ex, "half an answer")
			panic("oops")
		case "/nothing":
		case "/interim":
			p.Status = 103
		case "/switch":
			p.Status = 101
		case "/strange":
			p.Status = 999
		case "/no-body":
			p.Status, p.Length = 200, 5
		case "/unknown-no-body":
			p.Status, p.Length = 200, -1
		}
	})}, false)
	for _, path := range []string{"/panic", "/nothing", "/interim", "/switch", "/strange", "/no-body", "/unknown-no-body"} {
		c := r.dial()
		c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, content := c.response("GET")
		if resp.StatusCode != 500 || content != "internal error\n" {
			t.Errorf("%s: %d %q", path, resp.StatusCode, content)
		}
	}
}

// A response may begin, and end, before the request is read.
func TestEarlyResponse(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) { answer(ex, "early") })}, secure)

		// A little that is left is read and thrown away.
		c := r.dial()
		for range 2 {
			c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
			c.expectOK("", "early")
			c.send(strings.Repeat("x", 100000))
		}
		c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
		c.expectOK("", "early")
		c.send("llo\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expectOK("", "early")

		// A lot is not, but the client can read its answer though it goes on sending.
		c = r.dial()
		c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
		c.send(strings.Repeat("x", 1<<20))
		c.expectOK("Connection: close\r\n", "early")
		_, _ = io.WriteString(c.Conn, strings.Repeat("x", 1<<20)) // may fail by now
		c.expectEnd()

		// Chunks without end do not keep the connection busy for ever either.
		c = r.dial()
		c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		c.expectOK("", "early")
		for {
			if _, err := io.WriteString(c.Conn, "1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n"); err != nil {
				return
			}
		}
	})
}

// A handler that goes on reading the request in another goroutine while the
// response is written: a two-way stream, and an upload that Finish interrupts.
func TestTwoWay(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			in := ex.Request.Body
			if string(ex.Request.Path) == "/interrupted" {
				reading := make(chan struct{})
				ex.Go(func() {
					var p [100]byte
					_, _ = io.ReadFull(in, p[:5])
					close(reading)
					if n, err := in.Read(p[:]); err == nil {
						t.Errorf("read %q behind the end of the exchange", p[:n])
					}
				})
				<-reading
				answer(ex, "enough")
				return
			}
			body := newPiped()
			ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, -1, body
			ex.Go(func() {
				_, err := io.Copy(body.w, in)
				_ = body.w.CloseWithError(err)
			})
		})}, secure)
		c := r.dial()
		for range 3 {
			c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			c.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range 10 {
				c.send("4\r\nping\r\n")
				c.expect("4\r\nping\r\n")
			}
			c.send("0\r\n\r\n")
			c.expect("0\r\n\r\n")

			c.send("POST /interrupted HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
			c.expectOK("", "enough")
			c.send("world") // is drained, and the connection goes on
		}
	})
}
