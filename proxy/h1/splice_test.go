package h1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// tcpBody is a response's content as it comes from an origin over TCP.
type tcpBody struct {
	BodyReader
	src     *net.TCPConn
	spliced *atomic.Int64
}

func (b *tcpBody) Close() error { return b.src.Close() }

func (b *tcpBody) Splice(dst *net.TCPConn, limit int64) (int64, bool, error) {
	_ = b.src.SetReadDeadline(time.Now().Add(short))
	n, ok, err := b.BodyReader.Splice(dst, b.src, limit)
	_ = b.src.SetReadDeadline(time.Time{})
	b.spliced.Add(n)
	return n, ok, err
}

// tcpPair is a connection over loopback.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near.(*net.TCPConn), far.(*net.TCPConn)
}

// Large content that needs neither framing nor TLS is moved by the kernel, and
// arrives as it does otherwise.
func TestSplice(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		content := make([]byte, 4<<20)
		_, _ = rand.NewChaCha8([32]byte{2}).Read(content)
		var spliced atomic.Int64
		ends := make(outcomes, 1)
		origins := make(chan *net.TCPConn, 1)
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			ex.OnDone(ends)
			ours, origin := tcpPair(t)
			body := &tcpBody{src: ours, spliced: &spliced}
			p := &ex.Response
			p.Status, p.Length, p.Body = 200, int64(len(content)), body
			f := Framing{Kind: FixedLength, Length: p.Length}
			if string(ex.Request.Path) == "/unknown" {
				f, p.Length = Framing{Kind: UntilClose}, exchange.LengthUnknown
			}
			body.Reset(f, nil, ours, nil, Limits{})
			origins <- origin
		})}, secure)
		for _, tt := range []struct {
			request string
			splices bool
			pause   bool
		}{
			{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true, false},
			{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true, true},
			{"GET /unknown HTTP/1.0\r\n\r\n", true, false},
			{"GET /unknown HTTP/1.1\r\nHost: x\r\n\r\n", false, false}, // chunked
		} {
			spliced.Store(0)
			c := r.dial()
			c.send(tt.request)
			origin := <-origins
			go func() {
				_, _ = origin.Write(content[:len(content)/2])
				if tt.pause {
					time.Sleep(2 * short)
				}
				_, _ = origin.Write(content[len(content)/2:])
				_ = origin.Close()
			}()
			if _, got := c.response("GET"); !bytes.Equal([]byte(got), content) {
				t.Errorf("%q: %d bytes arrived of %d, or others", tt.request, len(got), len(content))
			}
			if err := ends.next(t); err != nil {
				t.Errorf("%q: %v", tt.request, err)
			}
			if n := spliced.Load(); n > 0 != (tt.splices && !secure) {
				t.Errorf("%q: %d bytes were moved by the kernel", tt.request, n)
			}
		}
	})
}

// When splicing fails, the right side is blamed, and the client does not take the
// part for the whole.
func TestSpliceBroken(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	var spliced atomic.Int64
	ends := make(outcomes, 1)
	origins := make(chan *net.TCPConn, 1)
	r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ex.OnDone(ends)
		ours, origin := tcpPair(t)
		body := &tcpBody{src: ours, spliced: &spliced}
		body.Reset(Framing{Kind: FixedLength, Length: size}, nil, ours, nil, Limits{})
		ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, size, body
		origins <- origin
	})}, false)
	for _, how := range []string{"origin closes", "origin resets", "client closes", "client resets"} {
		spliced.Store(0)
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		origin := <-origins
		go func() { _, _ = io.Copy(origin, endless{}) }()
		c.expect(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		if _, err := io.CopyN(io.Discard, c.r, 8<<20); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "splicing", func() bool { return spliced.Load() > 0 })
		switch how {
		case "origin closes":
			_ = origin.CloseWrite()
		case "origin resets":
			_ = origin.SetLinger(0)
			_ = origin.Close()
		case "client closes":
			_ = c.Close()
		case "client resets":
			_ = c.tcp.SetLinger(0)
			_ = c.tcp.Close()
		}
		if how[0] == 'o' {
			if n, _ := io.Copy(io.Discard, c.r); n >= size-8<<20 {
				t.Errorf("%s: all of the content is there", how)
			}
		}
		if err := ends.next(t); err == nil || errors.Is(err, exchange.ErrClientGone) != (how[0] == 'c') {
			t.Errorf("%s: the exchange ended with %v", how, err)
		}
	}
}
