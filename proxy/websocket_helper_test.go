package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/wstest"
	"portway/route"
)

// wsFront is a way for a WebSocket to come to Portway.
type wsFront struct {
	name       string
	http2, tls bool
}

var wsFronts = []wsFront{{"HTTP 1.1", false, false}, {"HTTP 1.1 over TLS", false, true}, {"HTTP 2", true, true}}

// wsServer is Portway in front of an origin that does, for each WebSocket, what
// the test that opened it says.
type wsServer struct {
	*instance
	origin  *tls.Config // of the origin, which speaks TLS then
	n       atomic.Int64
	mu      sync.Mutex
	waiting map[string]func(nc net.Conn)
}

func serveWebSockets(t *testing.T) *wsServer {
	t.Helper()
	s := &wsServer{waiting: map[string]func(net.Conn){}}
	s.instance = serve(t, []*route.Route{at("ws.test", rawOrigin(t, s.accept))})
	return s
}

// serveWebSocketsByTLS is serveWebSockets for an origin that wants TLS.
func serveWebSocketsByTLS(t *testing.T) *wsServer {
	t.Helper()
	s := &wsServer{waiting: map[string]func(net.Conn){}, origin: &tls.Config{
		Certificates: []tls.Certificate{newTestCerts(t).cert}, NextProtos: []string{"h2", "http/1.1"},
	}}
	s.instance = serve(t, []*route.Route{with(at("ws.test", rawOrigin(t, s.accept)), func(r *route.Route) {
		r.Upstreams[0].Scheme = route.HTTPS
	})})
	return s
}

// accept finds out by the path whom a connection is for.
func (s *wsServer) accept(nc net.Conn) {
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	if s.origin != nil {
		nc = tls.Server(nc, s.origin)
	}
	c, req, err := wstest.AcceptHTTP1(nc)
	if err != nil {
		_, _ = io.WriteString(nc, "HTTP/1.1 500 "+err.Error()+"\r\nContent-Length: 0\r\n\r\n")
		return
	}
	s.mu.Lock()
	f := s.waiting[req.URL.Path]
	s.mu.Unlock()
	f(&arrived{c, req})
}

// arrived is a connection to the origin with the handshake that came on it.
type arrived struct {
	*wstest.HTTP1
	req *http.Request
}

// expect has f called with the next connection for the path that it returns.
func (s *wsServer) expect(f func(a *arrived)) (path string) {
	path = fmt.Sprint("/", s.n.Add(1))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[path] = func(nc net.Conn) { f(nc.(*arrived)) }
	return path
}

// connect opens a connection for front.
func (s *wsServer) connect(t *testing.T, front wsFront) net.Conn {
	t.Helper()
	address := s.http
	if front.tls {
		address = s.https
	}
	nc := s.dialAt(t, address)
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	if !front.tls {
		return nc
	}
	protocol := "http/1.1"
	if front.http2 {
		protocol = "h2"
	}
	c := tls.Client(nc, &tls.Config{RootCAs: s.certs.roots, ServerName: "ws.test", NextProtos: []string{protocol}})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// open asks for a WebSocket.
func (s *wsServer) open(t *testing.T, front wsFront, path string, header http.Header, early []byte) (wstest.Conn, *http.Response) {
	t.Helper()
	nc := s.connect(t, front)
	var c wstest.Conn
	var resp *http.Response
	var err error
	if front.http2 {
		c, resp, err = wstest.DialHTTP2(nc, "ws.test", path, header, early)
	} else {
		c, resp, err = wstest.DialHTTP1(nc, "ws.test", path, header, early)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, resp
}

// pair opens a WebSocket of which the test has both ends.
func (s *wsServer) pair(t *testing.T, front wsFront, row wsRow) (client, origin *wstest.End) {
	t.Helper()
	origins := make(chan *wstest.End, 1)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	late := packet(row.late...)
	path := s.expect(func(a *arrived) {
		e := wstest.NewEnd(t, "origin", a.HTTP1, a.req.Header)
		if err := a.Agree(a.req, row.answer, late); err != nil {
			t.Errorf("origin: %v", err)
		}
		e.Note(late)
		origins <- e
		<-over // then the connection is closed
	})
	early := packet(row.early...)
	c, resp := s.open(t, front, path, row.ask, early)
	if want := map[bool]int{true: 200, false: 101}[front.http2]; resp.StatusCode != want {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("status %d, want %d: %s", resp.StatusCode, want, b)
	}
	client = wstest.NewEnd(t, "client", c, resp.Header)
	client.Mask = true
	client.Note(early)
	return client, <-origins
}

// packet is frames in one piece.
func packet(frames ...wstest.Frame) (b []byte) {
	for _, f := range frames {
		b = f.Append(b)
	}
	return b
}
