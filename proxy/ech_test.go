package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"portway/certs/ech"
	"portway/proxy/middleware"
	"portway/route"
)

const cover = "cover.test"

func openKeys(t *testing.T, folder string) *ech.Keys {
	t.Helper()
	k, err := ech.Open(folder, cover, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func withKeys(k *ech.Keys) option {
	return withConfig(func(cfg *Config) { cfg.HelloKeys = k.Accepted })
}

// hiding makes the client encrypt its hello by list.
func hiding(c *http.Client, list []byte) *http.Client {
	switch transport := c.Transport.(type) {
	case *http.Transport:
		transport.TLSClientConfig.EncryptedClientHelloConfigList = list
	case *http3.Transport:
		transport.TLSClientConfig.EncryptedClientHelloConfigList = list
	}
	return c
}

// wiretap sees what goes over connections.
type wiretap struct {
	mu   sync.Mutex
	seen bytes.Buffer
}

// tapped makes the client's connections go by w.
func (w *wiretap) tapped(c *http.Client) *http.Client {
	transport := c.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return tappedConn{conn, w}, err
	}
	return c
}

func (w *wiretap) add(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.Write(p)
}

func (w *wiretap) saw(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Contains(w.seen.Bytes(), []byte(text))
}

type tappedConn struct {
	net.Conn
	w *wiretap
}

func (c tappedConn) Write(p []byte) (int, error) { c.w.add(p); return c.Conn.Write(p) }

func (c tappedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.w.add(p[:n])
	return n, err
}

// What the network sees is the public name, and all that a host asks of handshakes goes
// by the name that it does not see.
func TestEncryptedClientHello(t *testing.T) {
	t.Parallel()
	ca, origin := newTestCA(t), echoIdentity(t)
	keys := openKeys(t, t.TempDir())
	i := serve(t, []*route.Route{
		at("hidden.test", origin),
		asking(at("must.test", origin), middleware.ClientTLS{Auth: middleware.Require, CA: ca.pem}),
		asking(at("one.test", origin), middleware.ClientTLS{Protocols: []string{"http/1.1"}}),
	}, withHTTP3, withKeys(keys))
	list := keys.State().ConfigList
	jo := ca.client(t, "jo")
	for protocol, client := range map[string]func() *http.Client{
		"HTTP/1.1": func() *http.Client { return i.client(t, onlyHTTP1) },
		"HTTP/2":   func() *http.Client { return i.client(t) },
		"HTTP/3":   func() *http.Client { return i.client3(t) },
	} {
		for _, c := range []struct {
			host string
			cert *tls.Certificate
			want int
		}{{"hidden.test", nil, 200}, {"must.test", jo, 200}, {"must.test", nil, 403}} {
			tap, hidden := new(wiretap), hiding(show(client(), c.cert), list)
			if protocol != "HTTP/3" {
				tap.tapped(hidden)
			}
			resp, _ := get(t, hidden, "https://"+c.host+"/")
			if resp.StatusCode != c.want || !resp.TLS.ECHAccepted || resp.TLS.ServerName != c.host || resp.Proto[:6] != protocol[:6] {
				t.Errorf("%s, %s: %s %s, accepted: %v", protocol, c.host, resp.Proto, resp.Status, resp.TLS.ECHAccepted)
			}
			if protocol != "HTTP/3" && (!tap.saw(cover) || tap.saw(c.host)) {
				t.Errorf("%s, %s: on the wire is the public name: %v, the host: %v", protocol, c.host, tap.saw(cover), tap.saw(c.host))
			}
		}
	}
	open := new(wiretap)
	if resp, _ := get(t, open.tapped(i.client(t)), "https://hidden.test/"); resp.TLS.ECHAccepted || !open.saw("hidden.test") {
		t.Error("without a list, nothing is hidden; does the test see the wire?")
	}
	// A connection for another host leads around nothing here either.
	req, _ := http.NewRequest(http.MethodGet, "https://hidden.test/", nil)
	req.Host = "must.test"
	resp, err := hiding(show(i.client(t), jo), list).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a request for must.test over a connection for hidden.test: %s", resp.Status)
	}
	if resp, _ := get(t, hiding(i.client(t), list), "https://one.test/"); resp.Proto != "HTTP/1.1" || !resp.TLS.ECHAccepted {
		t.Errorf("one.test: %s, accepted: %v", resp.Proto, resp.TLS.ECHAccepted)
	}
	for host, want := range map[string][]string{"hidden.test": {"h3", "h2", "http/1.1"}, "one.test": {"http/1.1"}} {
		if got := i.Protocols(host); !slices.Equal(got, want) {
			t.Errorf("protocols of %s: %v", host, got)
		}
	}
}

// A session that began behind an encrypted hello is resumed behind one.
func TestEncryptedClientHelloResumes(t *testing.T) {
	t.Parallel()
	keys := openKeys(t, t.TempDir())
	i := serve(t, []*route.Route{at("hidden.test", echoOrigin(t))}, withKeys(keys))
	cfg := &tls.Config{
		RootCAs: i.certs.roots, ServerName: "hidden.test", ClientSessionCache: tls.NewLRUClientSessionCache(4),
		EncryptedClientHelloConfigList: keys.State().ConfigList,
	}
	for n := range 2 {
		conn := tls.Client(i.dialAt(t, i.https), cfg)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: hidden.test\r\nConnection: close\r\n\r\n")
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatal(err)
		}
		if s := conn.ConnectionState(); !s.ECHAccepted || s.DidResume != (n == 1) {
			t.Errorf("connection %d: accepted: %v, resumed: %v", n, s.ECHAccepted, s.DidResume)
		}
	}
}

// Keys change under clients that know an old one, or a wrong one.
func TestEncryptedClientHelloAfterRotation(t *testing.T) {
	t.Parallel()
	keys, others := openKeys(t, t.TempDir()), openKeys(t, t.TempDir())
	i := serve(t, []*route.Route{at("hidden.test", echoOrigin(t))}, withHTTP3, withKeys(keys))
	old := keys.State().ConfigList
	if err := keys.Rotate(); err != nil {
		t.Fatal(err)
	}
	now := keys.State().ConfigList
	for protocol, client := range map[string]func() *http.Client{
		"HTTP/2": func() *http.Client { return i.client(t) },
		"HTTP/3": func() *http.Client { return i.client3(t) },
	} {
		for what, list := range map[string][]byte{"old": old, "new": now} {
			if resp, _ := get(t, hiding(client(), list), "https://hidden.test/"); !resp.TLS.ECHAccepted {
				t.Errorf("%s: the %s key is not accepted", protocol, what)
			}
		}
		_, err := hiding(client(), others.State().ConfigList).Get("https://hidden.test/")
		var rejected *tls.ECHRejectionError
		if !errors.As(err, &rejected) || !bytes.Equal(rejected.RetryConfigList, now) {
			t.Errorf("%s: with a wrong key: %v", protocol, err)
			continue
		}
		if resp, _ := get(t, hiding(client(), rejected.RetryConfigList), "https://hidden.test/"); !resp.TLS.ECHAccepted {
			t.Errorf("%s: what clients are told is not accepted", protocol)
		}
	}
}

// Where it is off, clients that try are told so by a certificate for the public name.
func TestEncryptedClientHelloOff(t *testing.T) {
	t.Parallel()
	i := serve(t, []*route.Route{at("hidden.test", echoOrigin(t))})
	_, err := hiding(i.client(t), openKeys(t, t.TempDir()).State().ConfigList).Get("https://hidden.test/")
	var rejected *tls.ECHRejectionError
	if !errors.As(err, &rejected) || len(rejected.RetryConfigList) > 0 {
		t.Errorf("%v", err)
	}
}

// Browsers pretend to encrypt (GREASE, RFC 9849 section 6.2) where they know no key; that
// changes nothing, whether there are keys or not.
func TestPretendedEncryptedClientHello(t *testing.T) {
	t.Parallel()
	keys, others := openKeys(t, t.TempDir()), openKeys(t, t.TempDir())
	for what, options := range map[string][]option{"on": {withKeys(keys)}, "off": nil} {
		i := serve(t, []*route.Route{at("plain.test", echoOrigin(t))}, options...)
		// crypto/tls cannot pretend. What it sends with a key that nobody has looks the
		// same, and it complains at the end only of a handshake whose certificate is good
		// for the name that was to be seen, which is the host here.
		list := bytes.Replace(others.State().ConfigList, []byte(cover), []byte("plain.test"), 1)
		conn := tls.Client(i.dialAt(t, i.https), &tls.Config{RootCAs: i.certs.roots, ServerName: "any.invalid", EncryptedClientHelloConfigList: list})
		err := conn.Handshake()
		if rejected := (*tls.ECHRejectionError)(nil); !errors.As(err, &rejected) || (len(rejected.RetryConfigList) > 0) != (what == "on") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
