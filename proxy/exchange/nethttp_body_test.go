package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestContinueIsSentAtTheFirstRead(t *testing.T) {
	t.Parallel()
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
	conn := serveHTTP1(t, time.Minute, func(ex *Exchange) {
		if ex.Request.Fields.Has("expect") {
			t.Error("Expect is no end-to-end field")
		}
		_, _ = io.ReadAll(ex.Request.Body)
		ex.Response.Status = 204
	})
	_, _ = io.WriteString(conn, head)
	line, _ := bufio.NewReader(conn).ReadString('\n')
	if line != "HTTP/1.1 100 Continue\r\n" {
		t.Errorf("got %q", line)
	}
	conn = serveHTTP1(t, time.Minute, func(ex *Exchange) { ex.Response.Status = 403 })
	if got := raw(t, conn, head); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("a refused request got %q", got)
	}
}

// An answer to an unfinished upload arrives, and the rest of the upload is never
// taken for the next request.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	for _, reading := range []bool{false, true} {
		t.Run(fmt.Sprint("reading=", reading), func(t *testing.T) {
			t.Parallel()
			var requests int
			conn := serveHTTP1(t, time.Minute, func(ex *Exchange) {
				requests++
				if reading {
					begun := make(chan struct{})
					ex.Go(func() {
						var b [5]byte
						_, _ = io.ReadFull(ex.Request.Body, b[:])
						close(begun)
						_, err := ex.Request.Body.Read(b[:]) // waits until Finish closes the body
						if err == nil || errors.Is(err, io.EOF) {
							t.Errorf("Read after Close: %v", err)
						}
					})
					<-begun
				}
				ex.Response = Response{Status: 413, Length: LengthUnknown, Body: BytesBody([]byte("too large"))}
			})
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello")
			r := bufio.NewReader(conn)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusRequestEntityTooLarge || string(b) != "too large" || err != nil || !resp.Close {
				t.Errorf("got %d %q, %v, close %v", resp.StatusCode, b, err, resp.Close)
			}
			_, _ = io.WriteString(conn, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			if _, err := r.ReadByte(); err == nil {
				t.Error("the connection goes on")
			}
			if requests != 1 {
				t.Errorf("%d requests", requests)
			}
		})
	}
}

func TestKeepAliveAfterBody(t *testing.T) {
	t.Parallel()
	conn := serveHTTP1(t, time.Minute, func(ex *Exchange) {
		b, err := io.ReadAll(ex.Request.Body)
		if err != nil {
			t.Error(err)
		}
		if ex.Request.Trailers.Len() > 0 {
			b = append(b, ex.Request.Trailers.Get("x-t")...)
			b = append(b, ex.Request.Trailers.Get("x-forwarded-for")...) // belongs to heads
		}
		ex.Response = Response{Status: 200, Length: int64(len(b)), Body: BytesBody(b)}
	})
	r := bufio.NewReader(conn)
	for i, request := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T, X-Forwarded-For\r\n\r\n3\r\nabc\r\n0\r\nX-T: d\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	} {
		_, _ = io.WriteString(conn, request)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		b, _ := io.ReadAll(resp.Body)
		if want := []string{"abc", "abcd", "abc"}[i]; string(b) != want || resp.Close {
			t.Errorf("request %d: %q, close %v", i, b, resp.Close)
		}
	}
}

// The limit for silence is for the middle of a body only: a slow handler, or a
// slow origin, is none of it.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	const idle = 100 * time.Millisecond
	got := make(chan error, 1)
	conn := serveHTTP1(t, idle, func(ex *Exchange) {
		_, err := io.ReadAll(ex.Request.Body)
		got <- err
		ex.Response.Status = 408
	})
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello")
	if err := <-got; !errors.Is(err, ErrClientSlow) {
		t.Errorf("error %v", err)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("answer %v, %v", resp, err)
	}

	conn = serveHTTP1(t, idle, func(ex *Exchange) {
		_, _ = io.ReadAll(ex.Request.Body)
		time.Sleep(3 * idle)
		if err := ex.Canceled(); err != nil {
			t.Errorf("cancelled while the client waits for us: %v", err)
		}
		ex.Response.Status = 204
	})
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("answer %v, %v", resp, err)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
func (zeros) Close() error               { return nil }

func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	done := &doneChan{make(chan error, 1)}
	conn := serveHTTP1(t, 100*time.Millisecond, func(ex *Exchange) {
		ex.OnDone(done)
		ex.Response = Response{Status: 200, Length: LengthUnknown, Body: zeros{}}
	})
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	select {
	case err := <-done.err:
		if !errors.Is(err, ErrClientGone) {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the exchange goes on though its client does not read")
	}
}

type doneChan struct{ err chan error }

func (d *doneChan) Done(_ *Exchange, _ int64, err error) { d.err <- err }

// pipeTunnel is one end of an in-memory connection, with half-close.
type pipeTunnel struct {
	net.Conn
}

func (p pipeTunnel) CloseWrite() error { return p.Conn.(*net.TCPConn).CloseWrite() }

func tcpPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a, b
}

func TestTunnel(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	conn := serveHTTP1(t, time.Minute, func(ex *Exchange) {
		ex.Response = Response{Status: 101, Tunnel: pipeTunnel{near}}
		ex.Response.Fields.AddString("Sec-Websocket-Accept", "xyz")
	})
	// The first bytes come together with the head.
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "websocket" ||
		resp.Header.Get("Connection") != "Upgrade" || resp.Header.Get("Sec-Websocket-Accept") != "xyz" {
		t.Fatalf("got %v, %v", resp, err)
	}
	expect := func(r io.Reader, want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
			t.Fatalf("got %q, %v; want %q", b, err, want)
		}
	}
	expect(far, "early")
	_, _ = io.WriteString(far, "down")
	expect(r, "down")
	_, _ = io.WriteString(conn, "up")
	expect(far, "up")

	// Half-close: the client is done, the origin goes on for a while.
	_ = conn.(*net.TCPConn).CloseWrite()
	if n, err := far.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("origin read %d, %v; want EOF", n, err)
	}
	_, _ = io.WriteString(far, "last words")
	expect(r, "last words")
	_ = far.Close()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("client got %v, want EOF", err)
	}
}

// A tunnel of which one side has ended must not last for ever because the other
// side never says anything again.
func TestHalfClosedTunnelEnds(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	conn := serveHTTP1(t, 100*time.Millisecond, func(ex *Exchange) {
		ex.Response = Response{Status: 101, Tunnel: pipeTunnel{near}}
	})
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Fatal(err)
	}
	_ = far.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := far.Read(make([]byte, 1)); err != nil {
		t.Fatalf("a silent tunnel with two open sides was ended: %v", err)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = far.Read(make([]byte, 1)) // EOF
	for {                            // writes fail once our side is closed
		if _, err := far.Write([]byte("")); err != nil {
			break
		}
		if n, err := conn.Read(make([]byte, 1)); n == 0 && err != nil {
			break
		}
	}
}

func TestTunnelNobodyAskedFor(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	conn := serveHTTP1(t, time.Minute, func(ex *Exchange) { ex.Response = Response{Status: 101, Tunnel: pipeTunnel{near}} })
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(conn); len(b) > 0 {
		t.Errorf("got %q", b)
	}
	_ = far.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the tunnel stays open: %v", err)
	}
}
