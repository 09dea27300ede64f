package h2

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// patience is how long tests wait for what must come.
const patience = 10 * time.Second

var testCert = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

// clientTLS trusts testCert.
func clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(testCert().Leaf)
	return &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}, ServerName: "localhost"}
}

// testServer serves a handler on loopback.
type testServer struct {
	*Server
	addr string
	log  *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve starts a server, with TLS or for prior knowledge, which is gone without
// a trace at the end of the test.
func serve(t testing.TB, secure bool, s *Server) *testServer {
	t.Helper()
	ts := &testServer{Server: s, log: new(lockedBuffer)}
	s.Logger = slog.New(slog.NewTextHandler(ts.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts.addr = l.Addr().String()
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { ts.serveConn(nc, secure) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		for _, c := range s.conns.All(nil) {
			c.abort()
		}
		conns.Wait()
	})
	return ts
}

func (ts *testServer) serveConn(nc net.Conn, secure bool) {
	info := &exchange.Conn{Protocol: exchange.HTTP2}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		info.Remote = a.AddrPort()
	}
	if secure {
		tc := tls.Server(wire.NewCork(nc), &tls.Config{
			Certificates: []tls.Certificate{testCert()}, NextProtos: []string{"h2"}, DynamicRecordSizingDisabled: true,
		})
		_ = tc.SetDeadline(time.Now().Add(patience))
		if tc.Handshake() != nil {
			_ = nc.Close()
			return
		}
		_ = tc.SetDeadline(time.Time{})
		state := tc.ConnectionState()
		info.TLS = &state
		nc = tc
	}
	ts.ServeConn(nc, info)
}

// hello answers every request, after its content, with "hello".
var hello = exchange.HandlerFunc(func(ex *exchange.Exchange) {
	if ex.Request.Body != nil {
		if _, err := io.Copy(io.Discard, ex.Request.Body); err != nil {
			ex.Response.Status = 502
			return
		}
	}
	p := &ex.Response
	p.Status, p.Length = 200, 5
	p.Body = exchange.BytesBody([]byte("hello"))
})

// rawClient speaks frames. What it receives comes as events, such as
//
//	settings, settings ack, head 1 200, head 1 200 end, data 1 5 end,
//	trailers 1 end, rst 1 CANCEL, goaway 1 NO_ERROR, ping ack, window 1 100, closed
type rawClient struct {
	t      testing.TB
	nc     net.Conn
	fr     *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
	events chan string
	seen   []string

	mu     sync.Mutex
	bodies map[uint32][]byte
	heads  map[uint32][]hpack.HeaderField

	updates map[uint32]int
}

// dial connects to ts and exchanges SETTINGS.
func (ts *testServer) dial(t testing.TB, settings ...http2.Setting) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	return greetAs(t, nc, settings...)
}

func greetAs(t testing.TB, nc net.Conn, settings ...http2.Setting) *rawClient {
	t.Helper()
	c := newRawClient(t, nc)
	c.raw(preface)
	c.must(c.fr.WriteSettings(settings...))
	c.want("settings")
	c.must(c.fr.WriteSettingsAck())
	c.want("settings ack")
	return c
}

func newRawClient(t testing.TB, nc net.Conn) *rawClient {
	c := &rawClient{
		t: t, nc: nc, events: make(chan string, 1<<16),
		bodies: make(map[uint32][]byte), heads: make(map[uint32][]hpack.HeaderField),
		updates: make(map[uint32]int),
	}
	c.fr = http2.NewFramer(nc, nc)
	c.fr.AllowIllegalWrites = true
	c.fr.ReadMetaHeaders = hpack.NewDecoder(peerTable, nil)
	c.enc = hpack.NewEncoder(&c.block)
	t.Cleanup(func() { _ = nc.Close() })
	go c.read()
	return c
}

func (c *rawClient) read() {
	defer close(c.events)
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
				c.events <- "unreadable: " + err.Error()
			}
			return
		}
		if e := c.event(f); e != "" {
			c.events <- e
		}
	}
}

func (c *rawClient) event(f http2.Frame) string {
	h := f.Header()
	e := ""
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if e = "settings"; f.IsAck() {
			e = "settings ack"
		}
	case *http2.MetaHeadersFrame:
		c.mu.Lock()
		c.heads[h.StreamID] = append(c.heads[h.StreamID], f.Fields...)
		c.mu.Unlock()
		e = fmt.Sprintf("head %d %s", h.StreamID, f.PseudoValue("status"))
		if f.PseudoValue("status") == "" {
			e = fmt.Sprintf("trailers %d", h.StreamID)
		}
		if f.StreamEnded() {
			e += " end"
		}
	case *http2.DataFrame:
		c.mu.Lock()
		c.bodies[h.StreamID] = append(c.bodies[h.StreamID], f.Data()...)
		c.mu.Unlock()
		e = fmt.Sprintf("data %d %d", h.StreamID, len(f.Data()))
		if f.StreamEnded() {
			e += " end"
		}
	case *http2.RSTStreamFrame:
		e = fmt.Sprintf("rst %d %s", h.StreamID, f.ErrCode)
	case *http2.GoAwayFrame:
		e = fmt.Sprintf("goaway %d %s", f.LastStreamID, f.ErrCode)
	case *http2.PingFrame:
		if e = "ping"; f.IsAck() {
			e = "ping ack"
		}
	case *http2.WindowUpdateFrame:
		c.mu.Lock()
		c.updates[h.StreamID] += int(f.Increment)
		c.mu.Unlock()
		e = fmt.Sprintf("window %d %d", h.StreamID, f.Increment)
	}
	return e
}

func (c *rawClient) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// raw writes bytes as they are. That the server has closed is no error here.
func (c *rawClient) raw(s string) { _, _ = io.WriteString(c.nc, s) }

// next returns the next event, "closed" at the end.
func (c *rawClient) next() string {
	c.t.Helper()
	wait := patience
	if c.nc.LocalAddr().Network() == "pipe" {
		wait = 3 * time.Hour // of synctest's time
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case e, ok := <-c.events:
		if !ok {
			e = "closed"
		}
		c.seen = append(c.seen, e)
		return e
	case <-timeout.C:
		c.t.Fatalf("nothing came; before: %q", c.seen)
		return ""
	}
}

// want skips events until one that begins with e (up to a word's end) comes.
func (c *rawClient) want(e string) string {
	c.t.Helper()
	for {
		got := c.next()
		if got == e || strings.HasPrefix(got, e+" ") {
			return got
		}
		if got == "closed" {
			c.t.Fatalf("connection closed, want %q; events: %q", e, c.seen)
		}
	}
}

// alive checks that the connection still works.
func (c *rawClient) alive() {
	c.t.Helper()
	c.must(c.fr.WritePing(false, [8]byte{1}))
	c.want("ping ack")
}

// encode returns a header block of name, value, name, value…
func (c *rawClient) encode(fields ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.must(c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return bytes.Clone(c.block.Bytes())
}

// get is a usual request; more fields may follow.
func (c *rawClient) get(more ...string) []byte {
	return c.encode(append([]string{":method", "GET", ":scheme", "https", ":authority", "localhost", ":path", "/"}, more...)...)
}

func (c *rawClient) post(more ...string) []byte {
	return c.encode(append([]string{":method", "POST", ":scheme", "https", ":authority", "localhost", ":path", "/post"}, more...)...)
}

// headers writes a complete block.
func (c *rawClient) headers(id uint32, end bool, block []byte) {
	_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: true, BlockFragment: block})
}

func (c *rawClient) body(id uint32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.bodies[id])
}

func (c *rawClient) size(id uint32) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.bodies[id])
}

func (c *rawClient) field(id uint32, name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.heads[id] {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func dialTLS(t testing.TB, ts *testServer) net.Conn {
	t.Helper()
	nc, err := tls.Dial("tcp", ts.addr, clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	return nc
}
