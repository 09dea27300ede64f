package upstream

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// authority is a CA of the test's own.
type authorityCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var testCA = sync.OnceValue(func() *authorityCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &authorityCA{cert, key}
})

// issue makes a certificate for app.example and 127.0.0.1; by itself if selfSigned.
func (ca *authorityCA) issue(t testing.TB, until time.Time, selfSigned bool) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "app"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
		DNSNames: []string{"app.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := ca.cert, ca.key
	if selfSigned {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (ca *authorityCA) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// trusting is a client's configuration that trusts the test's CA.
func trusting() *tls.Config { return &tls.Config{RootCAs: testCA().roots()} }

// listenTLS is listen with TLS; protos are what the origin offers by ALPN.
func listenTLS(t testing.TB, protos []string, handle func(c net.Conn, r *bufio.Reader, n int)) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert := testCA().issue(t, time.Now().Add(time.Hour), false)
	return serveOn(t, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protos}), handle)
}

func TestTLSWithHTTP1(t *testing.T) {
	t.Parallel()
	for _, protos := range [][]string{nil, {"http/1.1"}} {
		o := listenTLS(t, protos, answerAll)
		p := o.pool(t, Config{Scheme: "https", TLS: trusting()})
		for range 5 {
			mustGet(t, p)
			if res := run(p, withBody(newExchange("POST", "/"), "x")); res.body != "ok" {
				t.Errorf("%+v", res)
			}
		}
		if n := o.accepted.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	}
}

// Surplus bytes can hide in TLS's own buffers, where no look into the socket
// finds them.
func TestTLSSurplus(t *testing.T) {
	t.Parallel()
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	tests := []struct {
		name string
		say  func(c net.Conn)
	}{
		{"in the same record", func(c net.Conn) { say(c, okAnswer+evil) }},
		{"in the next record", func(c net.Conn) { say(c, okAnswer); say(c, evil) }},
		{"behind a large body", func(c net.Conn) {
			say(c, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n")
			say(c, strings.Repeat("x", 20000)+evil)
		}},
		{"behind chunks", func(c net.Conn) {
			say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"+evil)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := listenTLS(t, nil, func(c net.Conn, r *bufio.Reader, n int) {
				if n > 0 {
					answerAll(c, r, n)
				} else if skipRequest(r) {
					tt.say(c)
					_, _ = io.Copy(io.Discard, r)
				}
			})
			p := o.pool(t, Config{Scheme: "https", TLS: trusting()})
			if res := run(p, newExchange("GET", "/")); res.err != nil || res.bodyErr != nil || strings.Contains(res.body, "evil") {
				t.Errorf("%+v", res)
			}
			eventually(t, "arrival of the surplus", p.staleIdle)
			mustGet(t, p)
		})
	}
}

// What is wrong with TLS is said in words that help.
func TestTLSErrors(t *testing.T) {
	t.Parallel()
	server := func(t *testing.T, config *tls.Config) *origin {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return serveOn(t, tls.NewListener(l, config), func(c net.Conn, _ *bufio.Reader, _ int) { _, _ = io.Copy(io.Discard, c) })
	}
	certs := func(until time.Duration, selfSigned bool) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{testCA().issue(t, time.Now().Add(until), selfSigned)}}
	}
	plain := func(t *testing.T) *origin {
		return listen(t, func(c net.Conn, r *bufio.Reader, _ int) {
			say(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			_, _ = io.Copy(io.Discard, r)
		})
	}
	closing := func(t *testing.T) *origin { return listen(t, func(net.Conn, *bufio.Reader, int) {}) }
	silent := func(t *testing.T) *origin {
		return listen(t, func(_ net.Conn, r *bufio.Reader, _ int) { _, _ = io.Copy(io.Discard, r) })
	}
	tests := []struct {
		name   string
		origin func(*testing.T) *origin
		tls    *tls.Config
		text   string
	}{
		{"another name", func(t *testing.T) *origin { return server(t, certs(time.Hour, false)) }, &tls.Config{RootCAs: testCA().roots(), ServerName: "other.example"}, "its certificate is for another name: x509: certificate is valid for app.example, not other.example"},
		{"self-signed", func(t *testing.T) *origin { return server(t, certs(time.Hour, true)) }, trusting(), "its certificate is self-signed"},
		{"unknown authority", func(t *testing.T) *origin { return server(t, certs(time.Hour, false)) }, &tls.Config{RootCAs: x509.NewCertPool()}, "not signed by an authority that Portway trusts"},
		{"no configuration", func(t *testing.T) *origin { return server(t, certs(time.Hour, false)) }, nil, "not signed by an authority that Portway trusts"},
		{"expired", func(t *testing.T) *origin { return server(t, certs(-time.Hour, false)) }, trusting(), "its certificate is valid only from"},
		{"client certificate wanted", func(t *testing.T) *origin {
			config := certs(time.Hour, false)
			config.ClientAuth, config.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
			return server(t, config)
		}, trusting(), "it refused the handshake: tls: "},
		{"plain HTTP", plain, trusting(), "portway.scheme: http"},
		{"closed", closing, trusting(), "it closed the connection during the handshake"},
		{"silent", silent, trusting(), "no handshake within 100ms; does it speak TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := tt.origin(t)
			cfg := Config{Scheme: "https", TLS: tt.tls}
			if tt.name == "silent" {
				cfg.DialTimeout = 100 * time.Millisecond
			}
			p := o.pool(t, cfg)
			res := run(p, newExchange("GET", "/"))
			wantErr(t, res.err, ErrDial, tt.text)
			wantErr(t, res.err, ErrDial, "connect by TLS to "+p.name+": ")
			if s := p.Stats(); s.Open != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// https is HTTP/2 if the origin offers it, but upgrades need HTTP/1.1.
func TestALPN(t *testing.T) {
	t.Parallel()
	o := listen2(t, true, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.Proto) })
	p := o.pool(t, Config{Scheme: "https", TLS: trusting()})
	for range 3 {
		if res := run(p, newExchange("GET", "/")); res.body != "HTTP/2.0" {
			t.Error(res)
		}
	}
	if n := o.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if res := run(p, upgrading("websocket")); res.body != "HTTP/1.1" {
		t.Error(res)
	}
	if res := run(p, newExchange("GET", "/")); res.body != "HTTP/2.0" {
		t.Error(res)
	}
}

// An origin that speaks another version after an update is followed.
func TestALPNChanges(t *testing.T) {
	t.Parallel()
	var proto atomic.Value
	proto.Store("http/1.1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert := testCA().issue(t, time.Now().Add(time.Hour), false)
	config := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		want := proto.Load().(string)
		if !slices.Contains(hello.SupportedProtos, want) {
			return nil, errors.New("no common protocol")
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{want}}, nil
	}}
	o := serveOn(t, tls.NewListener(l, config), func(c net.Conn, r *bufio.Reader, n int) {
		if err := c.(*tls.Conn).HandshakeContext(t.Context()); err != nil {
			return
		}
		if c.(*tls.Conn).ConnectionState().NegotiatedProtocol != "h2" {
			if skipRequest(r) {
				say(c, okAnswer)
			}
			return // each connection serves one request, so the next dials again
		}
		serveFrames(c, r, n, nil, func(f *http2.Framer, _ int, h *http2.HeadersFrame) error {
			_ = answer2(f, h.StreamID, true, ":status", "204")
			return io.EOF
		})
	})
	p := o.pool(t, Config{Scheme: "https", TLS: trusting()})
	mustGet(t, p)
	mustGet(t, p)
	proto.Store("h2")
	wantErr(t, run(p, newExchange("GET", "/")).err, ErrDial, "it refused the handshake")
	if res := run(p, newExchange("GET", "/")); res.status != 204 {
		t.Error(res)
	}
	proto.Store("http/1.1")
	eventually(t, "the end of the HTTP/2 connection", func() bool { return p.Stats().Open == 0 })
	mustGet(t, p)
	mustGet(t, p)
}

// Many requests that come before the first handshake is done.
func TestALPNUnderLoad(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{true, false} {
		o := listen2(t, h2, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		p := o.pool(t, Config{Scheme: "https", TLS: trusting(), DialTimeout: time.Minute})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if res := run(p, withBody(newExchange("POST", "/"), "hello")); res.body != "hello" {
					t.Errorf("%+v", res)
				}
			})
		}
		wg.Wait()
		if n := o.accepted.Load(); h2 && n != 1 {
			t.Errorf("%d connections for HTTP/2", n)
		}
	}
}
