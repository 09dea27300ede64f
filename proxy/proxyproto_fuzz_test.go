package proxy

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"portway/proxy/exchange"
)

// scripted is a connection on which everything has been said.
type scripted struct {
	net.Conn
	said *bytes.Reader
}

func (c *scripted) Read(p []byte) (int, error)      { return c.said.Read(p) }
func (c *scripted) SetReadDeadline(time.Time) error { return nil }
func (c *scripted) SetDeadline(time.Time) error     { return nil }
func (c *scripted) Close() error                    { return nil }
func (c *scripted) LocalAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (c *scripted) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 4711} }

// once accepts one connection.
type once struct {
	net.Listener
	c net.Conn
}

func (l once) Accept() (net.Conn, error) { return l.c, nil }

// Whatever a load balancer announces, the client has an address, and what follows
// the header is untouched.
func FuzzProxyHeader(f *testing.F) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	for _, seed := range []string{
		"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\nGET /",
		"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\nGET /",
		"PROXY UNKNOWN\r\nGET /",
		"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\nGET /",
		v2 + "\x20\x00\x00\x00GET /",
		v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\xdc\x04\x01\xbbGET /",
		v2 + "\x21\x12\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\xdc\x04\x01\xbbGET /",
		v2 + "\x21\x21\x00\x24" + string(bytes.Repeat([]byte{1}, 36)) + "GET /",
		v2 + "\x21\x31\x00\xd8" + string(bytes.Repeat([]byte{'/'}, 216)) + "GET /",
		v2 + "\x21\x00\x00\x00GET /",
		v2 + "\x21\x11\x00\x13\xc0\x00\x02\x07\xc0\x00\x02\x01\xdc\x04\x01\xbb\x04\x00\x04abcdGET /",
		"GET / HTTP/1.1\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := announced(once{c: &scripted{said: bytes.NewReader(raw)}}, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
		c, err := l.Accept()
		if err != nil {
			return
		}
		s := &Server{}
		s.logger = slog.New(slog.DiscardHandler)
		if !s.introduce(c) {
			return
		}
		if info := describe(c, nil, exchange.HTTP11); !info.Remote.IsValid() || !info.Local.IsValid() {
			t.Errorf("%q: from %v to %v", raw, info.Remote, info.Local)
		}
		rest, err := io.ReadAll(c)
		if err != nil || !bytes.HasSuffix(raw, rest) || len(rest) == len(raw) {
			t.Errorf("%q: then %q, %v", raw, rest, err)
		}
	})
}
