package h1

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// patience is how long tests wait for what must happen.
const patience = 30 * time.Second

// testCert makes a certificate once.
var testCert = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// running is a Server on loopback.
type running struct {
	*Server
	t      *testing.T
	addr   string
	secure bool
}

// start serves s, with TLS if secure is set, until the test ends.
func start(t *testing.T, s *Server, secure bool) *running {
	t.Helper()
	if s.every == 0 {
		s.every = 5 * time.Millisecond
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serveAccepted(s, nc, secure) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("connections left at the end: %v", err)
		}
		wg.Wait()
	})
	return &running{Server: s, t: t, addr: l.Addr().String(), secure: secure}
}

func serveAccepted(s *Server, nc net.Conn, secure bool) {
	info := &exchange.Conn{Protocol: exchange.HTTP11}
	if secure {
		tc := tls.Server(wire.NewCork(nc), &tls.Config{Certificates: []tls.Certificate{testCert()}, MinVersion: tls.VersionTLS13})
		if err := tc.Handshake(); err != nil {
			_ = nc.Close()
			return
		}
		state := tc.ConnectionState()
		info.TLS, nc = &state, tc
	}
	s.ServeConn(nc, info)
}

// both runs f over plain TCP and over TLS.
func both(t *testing.T, f func(t *testing.T, secure bool)) {
	t.Parallel()
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, secure)
		})
	}
}

// client is a connection to a Server, on which tests write raw bytes.
type client struct {
	net.Conn
	t   *testing.T
	r   *bufio.Reader
	tcp *net.TCPConn
}

func (r *running) dial() *client {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &client{Conn: nc, t: r.t, tcp: nc.(*net.TCPConn)}
	if r.secure {
		c.Conn = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	c.init()
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// init makes a client of its connection.
func (c *client) init() {
	c.t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	c.r = bufio.NewReader(c.Conn)
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// expect reads exactly s.
func (c *client) expect(s string) {
	c.t.Helper()
	got := make([]byte, len(s))
	n, err := io.ReadFull(c.r, got)
	if err != nil || string(got) != s {
		c.t.Fatalf("got %.200q (%v), want %.200q", got[:n], err, s)
	}
}

// expectOK reads what answer sends, with more fields behind its own.
func (c *client) expectOK(fields, text string) {
	c.t.Helper()
	c.expect(fmt.Sprintf("%sContent-Length: %d\r\n%s\r\n%s", headOK, len(text), fields, text))
}

// expectEnd wants an orderly end.
func (c *client) expectEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil || len(rest) > 0 {
		c.t.Fatalf("got %.200q and %v instead of the end", rest, err)
	}
}

// response reads a response to a request with that method.
func (c *client) response(method string) (resp *http.Response, content string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("response: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("response after %d bytes: %v", len(b), err)
	}
	return resp, string(b)
}

// answer fills in a small text.
func answer(ex *exchange.Exchange, text string) {
	p := &ex.Response
	p.Status, p.Length = 200, int64(len(text))
	p.Fields.AddString("Content-Type", "text/plain")
	p.Body = exchange.BytesBody([]byte(text))
}

// echo answers with what it was asked, content last.
var echo = exchange.HandlerFunc(func(ex *exchange.Exchange) {
	q := &ex.Request
	var b strings.Builder
	b.WriteString(string(q.Method) + " " + string(q.Authority) + " " + string(q.Path) + " " + string(q.Query) + " " + ex.Conn.Protocol.String() + " ")
	if q.Body != nil {
		content, err := io.ReadAll(q.Body)
		b.Write(content)
		if err != nil {
			b.WriteString(" error: " + err.Error())
		}
	}
	for name, value := range q.Trailers.All() {
		b.WriteString(" " + string(name) + "=" + string(value))
	}
	answer(ex, b.String())
})

const headOK = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

func TestKeepAlive(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		c := start(t, &Server{Handler: echo}, secure).dial()
		for range 3 {
			c.send("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n")
			c.expectOK("", "GET x /a b HTTP/1.1 ")
			c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
			c.expectOK("", "POST x /  HTTP/1.1 hello")
			c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
			c.send("3\r\nllo\r\n0\r\nSum: 1\r\n\r\n")
			c.expectOK("", "POST x /  HTTP/1.1 hello Sum=1")
		}
		c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		c.expectOK("Connection: close\r\n", "GET x /  HTTP/1.1 ")
		c.expectEnd()
	})
}

func TestPipelining(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		c := start(t, &Server{Handler: echo}, secure).dial()
		const one = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n" +
			"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" +
			"POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
		c.send(strings.Repeat(one, 400)) // more than a buffer, cut anywhere
		for range 400 {
			c.expectOK("", "GET x /1  HTTP/1.1 ")
			c.expectOK("", "POST x /2  HTTP/1.1 hello")
			c.expectOK("", "POST x /3  HTTP/1.1 hello")
		}
	})
}

func TestHTTP10(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := start(t, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			echo(ex)
			if string(ex.Request.Path) == "/stream" {
				ex.Response.Length = exchange.LengthUnknown
			}
		})}, secure)
		c := r.dial()
		c.send("GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
		c.expectOK("Connection: keep-alive\r\n", "GET x /  HTTP/1.0 ")
		c.send("GET / HTTP/1.0\r\n\r\n")
		c.expectOK("Connection: close\r\n", "GET  /  HTTP/1.0 ")
		c.expectEnd()
		c = r.dial()
		c.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		c.expect(headOK + "Connection: close\r\n\r\nGET  /stream  HTTP/1.0 ")
		c.expectEnd()
	})
}
