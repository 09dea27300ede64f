package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"portway/route"
)

func TestTLSVersionsAndProtocols(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))})
	for _, c := range []struct {
		name string
		cfg  *tls.Config
		want string // negotiated protocol, or part of an error
	}{
		{"both", &tls.Config{NextProtos: []string{"http/1.1", "h2"}}, "h2"},
		{"HTTP/1.1 only", &tls.Config{NextProtos: []string{"http/1.1"}}, "http/1.1"},
		{"no ALPN", &tls.Config{}, ""},
		{"neither", &tls.Config{NextProtos: []string{"spdy/3"}}, "no application protocol"},
		{"TLS 1.2", &tls.Config{NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12}, "h2"},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version not supported"},
		{"CBC only", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, "handshake failure"},
		{"challenge", &tls.Config{NextProtos: []string{"acme-tls/1"}}, "acme-tls/1"},
	} {
		cfg := c.cfg.Clone()
		cfg.RootCAs, cfg.ServerName = i.certs.roots, "a.test"
		conn := tls.Client(i.dialAt(t, i.https), cfg)
		err := conn.Handshake()
		switch {
		case err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case err == nil && conn.ConnectionState().NegotiatedProtocol != c.want:
			t.Errorf("%s: %q, want %q", c.name, conn.ConnectionState().NegotiatedProtocol, c.want)
		}
		if err == nil && c.want != "h2" {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if challenge := c.name == "challenge"; challenge != (err != nil) {
				t.Errorf("%s: answer %v, %v", c.name, resp, err)
			}
		}
		_ = conn.Close()
	}
}

func TestUnknownNameGetsAnAlert(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))})
	for _, name := range []string{"a.example", ""} {
		conn := tls.Client(i.dialAt(t, i.https), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err := conn.Handshake(); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSessionsAreResumed(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := &tls.Config{RootCAs: i.certs.roots, ServerName: "a.test", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
		for n := range 2 {
			conn := tls.Client(i.dialAt(t, i.https), cfg)
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
			if _, err := io.ReadAll(conn); err != nil { // tickets come after the handshake
				t.Fatal(err)
			}
			if resumed := conn.ConnectionState().DidResume; resumed != (n == 1) {
				t.Errorf("%s, connection %d: resumed: %v", tls.VersionName(version), n, resumed)
			}
		}
	}
}

func TestPlainHTTPToTheTLSPort(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))})
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		c := i.dialAt(t, i.https)
		_, _ = io.WriteString(c, method+" / HTTP/1.1\r\nHost: a.test\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), "HTTPS") {
			t.Errorf("%s: %d %q", method, resp.StatusCode, b)
		}
	}
	c := i.dialAt(t, i.https)
	_, _ = io.WriteString(c, "\x00garbage, neither TLS nor HTTP")
	if b, _ := io.ReadAll(c); strings.Contains(string(b), "HTTP") {
		t.Errorf("garbage got %q", b)
	}
}

// Who connects and says nothing, or too slowly, is sent away.
func TestSilentClients(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))}, withServer(func(s *Server) {
		s.limits = limits{handshake: 200 * time.Millisecond, head: 200 * time.Millisecond, idle: 200 * time.Millisecond, keepAlive: 200 * time.Millisecond}
	}))
	for name, begin := range map[string]func() net.Conn{
		"no handshake": func() net.Conn { return i.dialAt(t, i.https) },
		"no request":   func() net.Conn { return i.dial(t) },
		"half a head": func() net.Conn {
			c := i.dial(t)
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.")
			return c
		},
		"no second request": func() net.Conn {
			c := i.dial(t)
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
			return c
		},
		"half a body": func() net.Conn {
			c := i.dial(t)
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nx")
			return c
		},
	} {
		c := begin()
		start := time.Now()
		_, err := io.ReadAll(c)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: still open after %v", name, time.Since(start))
		}
	}
	c := i.dial(t)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\nX: "+strings.Repeat("x", 2*maxHead)+"\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head too large got %v, %v", resp, err)
	}
}
