package proxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/upstream"
	"portway/route"
)

// testCerts has a certificate for every name below ".test".
type testCerts struct {
	cert  tls.Certificate
	roots *x509.CertPool

	mu   sync.Mutex
	held map[string]string // host → why
}

func newTestCerts(t *testing.T) *testCerts {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "portway-test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"*.test"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCerts{roots: x509.NewCertPool(), held: map[string]string{}}
	c.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	c.cert.Leaf, _ = x509.ParseCertificate(der)
	c.roots.AddCert(c.cert.Leaf)
	return c
}

func (c *testCerts) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !strings.HasSuffix(hello.ServerName, ".test") {
		return nil, errors.New("not a name of ours")
	}
	return &c.cert, nil
}

func (c *testCerts) HTTPChallenge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			_, _ = io.WriteString(w, "token.thumbprint")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *testCerts) Hold(host string) (string, time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	why, hold := c.held[host]
	return why, 90 * time.Second, hold
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// instance is a Server that serves on loopback.
type instance struct {
	*Server
	certs       *testCerts
	log         *logBuffer
	http, https string // addresses
	stop        func() error
}

type option func(cfg *Config, s *Server)

func withConfig(f func(cfg *Config)) option {
	return func(cfg *Config, s *Server) {
		if s == nil {
			f(cfg)
		}
	}
}

func withServer(f func(s *Server)) option {
	return func(_ *Config, s *Server) {
		if s != nil {
			f(s)
		}
	}
}

// serve runs a Server with routes until the test ends.
func serve(t *testing.T, routes []*route.Route, options ...option) *instance {
	t.Helper()
	i := &instance{certs: newTestCerts(t), log: &logBuffer{}}
	cfg := Config{
		HTTP: []string{"127.0.0.1:0"}, HTTPS: []string{"127.0.0.1:0"}, Drain: 10 * time.Second, Certs: i.certs,
		Logger: slog.New(slog.NewTextHandler(i.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, o := range options {
		o(&cfg, nil)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		o(nil, s)
	}
	i.Server = s
	if a := s.listeners.HTTP(); len(a) > 0 {
		i.http = a[0].String()
	}
	if a := s.listeners.HTTPS(); len(a) > 0 {
		i.https = a[0].String()
	}
	if routes != nil {
		s.SetTable(route.NewTable(routes, nil))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	i.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		_ = i.stop()
		if t.Failed() {
			t.Log(i.log.String())
		}
	})
	return i
}

// client speaks to i whatever the host in a URL: HTTP/2 over https unless told
// otherwise.
func (i *instance) client(t *testing.T, protocols ...func(*http.Protocols)) *http.Client {
	t.Helper()
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	for _, f := range protocols {
		f(p)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if _, port, _ := net.SplitHostPort(address); port == "80" {
				return new(net.Dialer).DialContext(ctx, network, i.http)
			}
			return new(net.Dialer).DialContext(ctx, network, i.https)
		},
		TLSClientConfig:    &tls.Config{RootCAs: i.certs.roots},
		Protocols:          p,
		DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       30 * time.Second,
	}
}

func onlyHTTP1(p *http.Protocols) { p.SetHTTP2(false) }

// dial opens a plain connection to i.
func (i *instance) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", i.http)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialTLS opens a TLS connection to i for HTTP/1.1.
func (i *instance) dialTLS(t *testing.T, name string) *tls.Conn {
	t.Helper()
	c := tls.Client(i.dialAt(t, i.https), &tls.Config{RootCAs: i.certs.roots, ServerName: name, NextProtos: []string{"http/1.1"}})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (i *instance) dialAt(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// at makes a route for a host, off plain HTTP unless changed, to upstreams at
// addresses.
func at(host string, addresses ...string) *route.Route {
	r := &route.Route{ID: host, Name: host, Source: "test", Hosts: []string{host}, Path: "/", HTTPS: route.Off}
	for _, a := range addresses {
		r.Upstreams = append(r.Upstreams, route.Upstream{ID: a, Name: "container " + a, Network: "tcp", Address: a, Scheme: route.HTTP})
	}
	return r
}

func with(r *route.Route, f func(r *route.Route)) *route.Route {
	f(r)
	return r
}

// origin starts an HTTP server and returns its address.
func originAt(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

// originH2C starts a server that speaks HTTP/2 without TLS.
func originH2C(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

// rawOrigin answers each connection by f.
func rawOrigin(t *testing.T, f func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				f(c)
			}()
		}
	}()
	return l.Addr().String()
}

// deadAddress is one that refuses connections.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func get(t *testing.T, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

var trustLoopback = withConfig(func(cfg *Config) {
	cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
})

// binder is a label.Binder around a Wrap function.
type binder struct {
	Name string
	wrap wrapFunc
}

func (*binder) Labels(*label.Set) {}

// poolWith is dialPool for an origin that must answer within firstByte.
func poolWith(u route.Upstream, firstByte time.Duration) transport {
	return upstream.NewPool(upstream.Config{Network: u.Network, Address: u.Address, Scheme: string(u.Scheme), FirstByte: firstByte})
}
