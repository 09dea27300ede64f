package upstream

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// swallow makes a connection to a client; got closes it and tells what the client
// has read.
func swallow(t *testing.T) (dst *net.TCPConn, got func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test's end
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(theirs)
		_ = theirs.Close()
		read <- string(b)
	}()
	return ours.(*net.TCPConn), func() string {
		_ = ours.Close()
		return <-read
	}
}

// Content that needs no framing goes from socket to socket, pauses and all, and
// the connection is used again behind it.
func TestSplice(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	content := strings.Repeat("0123456789abcdef", size/16)
	pauses := make(chan struct{})
	o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
		for range 2 {
			if !skipRequest(r) {
				return
			}
			say(c, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)+content[:size/2])
			<-pauses
			say(c, content[size/2:])
		}
		answerAll(c, r, 0)
	})
	p := o.pool(t, Config{})
	for range 2 {
		ex := newExchange("GET", "/")
		if err := p.RoundTrip(ex); err != nil {
			t.Fatal(err)
		}
		dst, got := swallow(t)
		paused := false
		moved, err := copyOut(dst, ex.Response.Body, func() {
			if !paused {
				paused = true
				pauses <- struct{}{}
			}
		})
		ex.Finish(size, err)
		exchange.Put(ex)
		if s := got(); s != content || err != nil || moved == 0 || !paused {
			t.Errorf("%d bytes arrived, %d by the kernel, paused %t, %v", len(s), moved, paused, err)
		}
	}
	mustGet(t, p)
	if n := o.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// copyOut does what a front does, and calls paused whenever the source pauses.
func copyOut(dst *net.TCPConn, body exchange.Body, paused func()) (moved int64, err error) {
	const limit = 100 << 10
	p := make([]byte, 4<<10)
	for err == nil {
		n, ok, e := body.(exchange.Splicer).Splice(dst, limit)
		if moved += n; !ok {
			var k int
			k, e = body.Read(p)
			_, _ = dst.Write(p[:k])
		} else if n < limit && e == nil {
			paused()
		}
		err = e
	}
	if err == io.EOF {
		err = nil
	}
	return moved, err
}

// An origin that breaks off is told from one that has said all, and content with
// framing is left to Read.
func TestSpliceNot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer string
		moves  bool
		want   string
		cut    bool
	}{
		"cut off":     {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", true, "hello", true},
		"until close": {"HTTP/1.1 200 OK\r\n\r\nhello", true, "hello", false},
		"chunked":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false, "hello", false},
	} {
		o := listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
			if skipRequest(r) {
				head, rest, _ := strings.Cut(tt.answer, "\r\n\r\n")
				say(c, head+"\r\n\r\n")
				time.Sleep(20 * time.Millisecond) // so that the content comes apart
				say(c, rest)
			}
		})
		ex := newExchange("GET", "/")
		if err := o.pool(t, Config{}).RoundTrip(ex); err != nil {
			t.Fatal(err)
		}
		dst, got := swallow(t)
		moved, err := copyOut(dst, ex.Response.Body, func() {})
		ex.Finish(0, err)
		exchange.Put(ex)
		if s := got(); s != tt.want || moved > 0 != tt.moves || (err != nil) != tt.cut {
			t.Errorf("%s: %q arrived, %d by the kernel, %v", name, s, moved, err)
		}
	}
}
