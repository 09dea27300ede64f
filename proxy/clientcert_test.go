package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"portway/internal/need"
	"portway/label"
	"portway/proxy/exchange"
	"portway/proxy/middleware"
	"portway/route"
)

// testCA makes client certificates.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newTestCA(t *testing.T) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca := &testCA{key: key, pem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	ca.cert, _ = x509.ParseCertificate(der)
	return ca
}

// client makes a certificate; change may spoil it.
func (ca *testCA) client(t *testing.T, name string, change ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name, Organization: []string{"Acme"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	cert.Leaf, _ = x509.ParseCertificate(der)
	return cert
}

// list makes a list of revoked certificates that ends at a time.
func (ca *testCA) list(t *testing.T, until time.Time, revoked ...*tls.Certificate) string {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: until.Add(-24 * time.Hour), NextUpdate: until}
	for _, r := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.Leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.cert, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// asking makes r ask its clients as options say.
func asking(r *route.Route, options middleware.ClientTLS) *route.Route {
	r.Middleware = append(r.Middleware, &options)
	return r
}

// under puts r at a path.
func under(r *route.Route, path string) *route.Route {
	r.Path, r.ID = path, r.ID+path
	return r
}

// echoIdentity answers with what the origin is told of the client.
func echoIdentity(t *testing.T) string {
	return originAt(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Client-Cert", "X-Client-Cert-Subject", "X-Client-Cert-Fingerprint", "X_client_cert_subject", "Client-Cert-Chain"} {
			w.Header()["Got-"+name] = r.Header[name]
		}
		_, _ = io.WriteString(w, "origin")
	})
}

// show makes the client present cert, if it is not nil, whoever asks.
func show(c *http.Client, cert *tls.Certificate) *http.Client {
	give := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if cert == nil {
			return new(tls.Certificate), nil
		}
		return cert, nil
	}
	switch transport := c.Transport.(type) {
	case *http.Transport:
		transport.TLSClientConfig.GetClientCertificate = give
	case *http3.Transport:
		transport.TLSClientConfig.GetClientCertificate = give
	}
	return c
}

// forge pretends to be somebody by the fields that the proxy sets.
var forge = []string{"Client-Cert", ":AAAA:", "X-Client-Cert-Subject", "CN=root", "x-client-cert-fingerprint", "00", "X_Client_Cert_Subject", "CN=root", "Client-Cert-Chain", ":AAAA:"}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, other := newTestCA(t), newTestCA(t)
	origin := echoIdentity(t)
	i := serve(t, []*route.Route{
		asking(at("must.test", origin), middleware.ClientTLS{Auth: middleware.Require, CA: ca.pem}),
		asking(at("may.test", origin), middleware.ClientTLS{Auth: middleware.Request, CA: ca.pem}),
		at("mixed.test", origin),
		asking(under(at("mixed.test", origin), "/admin"), middleware.ClientTLS{Auth: middleware.Require, CA: ca.pem}),
		asking(under(at("mixed.test", origin), "/other"), middleware.ClientTLS{Auth: middleware.Require, CA: other.pem}),
		at("open.test", origin),
	}, withHTTP3)
	jo := ca.client(t, "Jö\nX: y")
	past := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	server := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	sum := sha256.Sum256(jo.Leaf.Raw)
	protocols := map[string]func() *http.Client{
		"HTTP/1.1": func() *http.Client { return i.client(t, onlyHTTP1) },
		"HTTP/2":   func() *http.Client { return i.client(t) },
		"HTTP/3":   func() *http.Client { return i.client3(t) },
	}
	for protocol, client := range protocols {
		for _, c := range []struct {
			what string
			cert *tls.Certificate
			url  string
			want int
			id   bool
		}{
			{"required and good", jo, "https://must.test/", 200, true},
			{"required and none", nil, "https://must.test/", 403, false},
			{"required and of another CA", other.client(t, "eve"), "https://must.test/", 403, false},
			{"required and over", ca.client(t, "old", past), "https://must.test/", 403, false},
			{"required and for servers", ca.client(t, "server", server), "https://must.test/", 403, false},
			{"asked for and good", jo, "https://may.test/", 200, true},
			{"asked for and none", nil, "https://may.test/", 200, false},
			{"asked for and of another CA", other.client(t, "eve"), "https://may.test/", 200, false},
			{"a path that does not ask", nil, "https://mixed.test/", 200, false},
			{"a path that does not ask, with one", jo, "https://mixed.test/", 200, false},
			{"a path that does", nil, "https://mixed.test/admin", 403, false},
			{"a path that does, with one", jo, "https://mixed.test/admin", 200, true},
			{"a path for another CA", jo, "https://mixed.test/other", 403, false},
			{"not asked for", jo, "https://open.test/", 200, false},
		} {
			resp, body := get(t, show(client(), c.cert), c.url, forge...)
			if resp.StatusCode != c.want || resp.Proto[:6] != protocol[:6] {
				t.Errorf("%s, %s: %s %s %q", protocol, c.what, resp.Proto, resp.Status, body)
			}
			id := resp.Header["Got-Client-Cert"]
			switch {
			case len(resp.Header["Got-X_client_cert_subject"])+len(resp.Header["Got-Client-Cert-Chain"]) > 0:
				t.Errorf("%s, %s: a forged field comes through", protocol, c.what)
			case !c.id && len(id) > 0:
				t.Errorf("%s, %s: the origin is told %q", protocol, c.what, id)
			case c.id && (len(id) != 1 || id[0] != ":"+base64.StdEncoding.EncodeToString(jo.Leaf.Raw)+":" ||
				resp.Header.Get("Got-X-Client-Cert-Subject") != `CN=J\C3\B6\0AX: y,O=Acme` ||
				resp.Header.Get("Got-X-Client-Cert-Fingerprint") != hex.EncodeToString(sum[:])):
				t.Errorf("%s, %s: the origin is told %v", protocol, c.what, resp.Header)
			}
		}
	}
	plain, _ := get(t, i.client(t), "http://must.test/")
	if plain.StatusCode != http.StatusForbidden {
		t.Errorf("over plain HTTP: %s", plain.Status)
	}
}

// A proxy in front that has checked certificates itself may tell of them.
func TestClientCertificateByTrustedProxy(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t)
	origin := echoIdentity(t)
	i := serve(t, []*route.Route{
		at("open.test", origin),
		asking(at("may.test", origin), middleware.ClientTLS{Auth: middleware.Request, CA: ca.pem}),
	}, trustLoopback)
	for host, want := range map[string]string{"open.test": ":AAAA:", "may.test": ""} {
		if resp, _ := get(t, show(i.client(t), nil), "https://"+host+"/", "Client-Cert", ":AAAA:"); resp.Header.Get("Got-Client-Cert") != want {
			t.Errorf("%s: %q, want %q", host, resp.Header.Get("Got-Client-Cert"), want)
		}
	}
}

// A connection that was made for another host leads around nothing: browsers use one
// for all names of a certificate.
func TestConnectionsForOtherHosts(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t)
	origin := echoIdentity(t)
	i := serve(t, []*route.Route{
		at("open.test", origin),
		asking(at("must.test", origin), middleware.ClientTLS{Auth: middleware.Require, CA: ca.pem}),
		asking(at("must2.test", origin), middleware.ClientTLS{Auth: middleware.Require, CA: ca.pem}),
		asking(at("may.test", origin), middleware.ClientTLS{Auth: middleware.Request, CA: ca.pem}),
		asking(at("new.test", origin), middleware.ClientTLS{MinVersion: tls.VersionTLS13}),
	}, withHTTP3)
	jo := ca.client(t, "jo")
	for protocol, client := range map[string]*http.Client{
		"HTTP/1.1": i.client(t, onlyHTTP1), "HTTP/2": i.client(t), "HTTP/3": i.client3(t),
	} {
		show(client, jo)
		for _, c := range []struct {
			sni, host string
			want      int
		}{
			{"open.test", "must.test", 421},
			{"open.test", "may.test", 421},
			{"open.test", "MUST.test.:443", 421},
			{"open.test", "new.test", 421},
			{"must.test", "must2.test", 421},
			{"must.test", "open.test", 200}, // it asks for nothing
			{"must.test", "MUST.test.:443", 200},
		} {
			req, err := http.NewRequest(http.MethodGet, "https://"+c.sni+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = c.host
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Errorf("%s: a request for %s over a connection for %s: %s, want %d", protocol, c.host, c.sni, resp.Status, c.want)
			}
		}
	}
}

// A session that is resumed has the certificate that it began with, for its host.
func TestClientCertificateOfResumedSession(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t)
	origin := echoIdentity(t)
	i := serve(t, []*route.Route{
		asking(at("must.test", origin), middleware.ClientTLS{Auth: middleware.Require, CA: ca.pem}),
		at("open.test", origin),
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := &tls.Config{
			RootCAs: i.certs.roots, ServerName: "must.test", MaxVersion: version, ClientSessionCache: anyName{tls.NewLRUClientSessionCache(1)},
			Certificates: []tls.Certificate{*ca.client(t, "jo")},
		}
		ask := func(host, want string) bool {
			t.Helper()
			conn := tls.Client(i.dialAt(t, i.https), cfg)
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(answer), want) {
				t.Errorf("%s: %v %.100q, want %q", tls.VersionName(version), err, answer, want)
			}
			return conn.ConnectionState().DidResume
		}
		ask("must.test", "HTTP/1.1 200")
		cfg.Certificates = nil
		if !ask("must.test", "HTTP/1.1 200") {
			t.Errorf("%s: not resumed", tls.VersionName(version))
		}
		// With a session of a host that does not ask, there is no certificate.
		cfg.ServerName = "open.test"
		cfg.ClientSessionCache = anyName{tls.NewLRUClientSessionCache(1)}
		ask("open.test", "HTTP/1.1 200")
		cfg.ServerName = "must.test"
		ask("must.test", "HTTP/1.1 403")
	}
}

// anyName offers a session to whatever host, as no good client does.
type anyName struct{ tls.ClientSessionCache }

func (c anyName) Get(string) (*tls.ClientSessionState, bool) { return c.ClientSessionCache.Get("any") }
func (c anyName) Put(_ string, s *tls.ClientSessionState)    { c.ClientSessionCache.Put("any", s) }

// Whose certificate has been revoked is not let in, also over a connection that is there
// when the list comes; where certificates are only asked for, it is as if there was none.
func TestRevokedClientCertificates(t *testing.T) {
	t.Parallel()
	ca, origin := newTestCA(t), echoIdentity(t)
	jo := ca.client(t, "jo")
	eve := ca.client(t, "eve", func(c *x509.Certificate) { c.SerialNumber = big.NewInt(666) })
	day := time.Now().Add(24 * time.Hour)
	table := func(crl string) []*route.Route {
		return []*route.Route{
			asking(at("must.test", origin), middleware.ClientTLS{Auth: middleware.Require, CA: ca.pem, CRL: crl}),
			asking(at("may.test", origin), middleware.ClientTLS{Auth: middleware.Request, CA: ca.pem, CRL: crl}),
		}
	}
	i := serve(t, table(ca.list(t, day)), withHTTP3)
	clients := map[string]*http.Client{}
	for protocol, client := range map[string]func() *http.Client{
		"HTTP/1.1": func() *http.Client { return i.client(t, onlyHTTP1) },
		"HTTP/2":   func() *http.Client { return i.client(t) },
		"HTTP/3":   func() *http.Client { return i.client3(t) },
	} {
		for _, who := range []*tls.Certificate{jo, eve} {
			clients[protocol+" "+who.Leaf.Subject.CommonName] = show(client(), who)
		}
	}
	check := func(when, refused, why string) {
		t.Helper()
		for who, c := range clients {
			want, said := 200, ""
			if strings.HasSuffix(who, refused) {
				want, said = 403, why
			}
			if resp, body := get(t, c, "https://must.test/"); resp.StatusCode != want || !strings.Contains(body, said) {
				t.Errorf("%s, %s: %s %q", when, who, resp.Status, body)
			}
			resp, _ := get(t, c, "https://may.test/")
			if known := resp.Header.Get("Got-Client-Cert") != ""; resp.StatusCode != 200 || known != (want == 200) {
				t.Errorf("%s, %s, where it is only asked for: %s, known: %v", when, who, resp.Status, known)
			}
		}
	}
	check("at first", "nobody", "")
	i.SetTable(route.NewTable(table(ca.list(t, day, eve)), nil))
	check("after the list", "eve", "has been revoked")
	if p := i.Problems(); len(p) > 0 {
		t.Errorf("a good list has problems: %v", p)
	}
	i.SetTable(route.NewTable(table(ca.list(t, time.Now().Add(-time.Hour))), nil))
	check("after its end", "", "cannot be told")
	if p := i.Problems(); len(p) != 2 || !strings.Contains(p[0].Why, "ended on") {
		t.Errorf("a list that has ended has the problems %v", p)
	}
	i.SetTable(route.NewTable(table(""), nil))
	check("without a list", "nobody", "")
}

// A connection that is there already when a label comes has to be made anew.
func TestClientAuthThatComesLater(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t)
	origin := echoIdentity(t)
	i := serve(t, []*route.Route{at("a.test", origin)})
	c := show(i.client(t), ca.client(t, "jo"))
	c.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(4) // as browsers do
	if resp, _ := get(t, c, "https://a.test/"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	i.SetTable(route.NewTable([]*route.Route{asking(at("a.test", origin), middleware.ClientTLS{Auth: middleware.Require, CA: ca.pem})}, nil))
	if resp, _ := get(t, c, "https://a.test/"); resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("over the old connection: %s", resp.Status)
	}
	c.CloseIdleConnections()
	if resp, _ := get(t, c, "https://a.test/"); resp.StatusCode != 200 {
		t.Errorf("over a new one: %s", resp.Status)
	}
}

func TestTLSOptionsOfHosts(t *testing.T) {
	t.Parallel()
	origin := echoOrigin(t)
	i := serve(t, []*route.Route{
		asking(at("new.test", origin), middleware.ClientTLS{MinVersion: tls.VersionTLS13}),
		at("part.test", origin),
		asking(under(at("part.test", origin), "/new"), middleware.ClientTLS{MinVersion: tls.VersionTLS13}),
		asking(at("one.test", origin), middleware.ClientTLS{Protocols: []string{"http/1.1"}}),
		asking(at("*.test", origin), middleware.ClientTLS{Protocols: []string{"h2", "http/1.1"}}),
		at("any.test", origin),
	}, withHTTP3)
	for _, c := range []struct {
		name string
		cfg  *tls.Config
		want string // protocol, or part of an error
	}{
		{"new.test", &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version not supported"},
		{"new.test", &tls.Config{NextProtos: []string{"h2"}}, "h2"},
		{"part.test", &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version not supported"},
		{"any.test", &tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}, "h2"},
		{"one.test", &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, "http/1.1"},
		{"one.test", &tls.Config{NextProtos: []string{"h2"}}, "no application protocol"},
		{"ONE.test", &tls.Config{NextProtos: []string{"h2"}}, "no application protocol"},
		{"one.test", &tls.Config{NextProtos: []string{"acme-tls/1"}}, "acme-tls/1"},
		{"other.test", &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, "h2"},
	} {
		c.cfg.RootCAs, c.cfg.ServerName = i.certs.roots, c.name
		conn := tls.Client(i.dialAt(t, i.https), c.cfg)
		err := conn.Handshake()
		if got := conn.ConnectionState().NegotiatedProtocol; err == nil && got != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
		_ = conn.Close()
	}
	for host, want := range map[string]bool{"any.test": true, "new.test": true, "one.test": false, "other.test": false} {
		resp, _ := get(t, i.client(t), "https://"+host+"/")
		if told := resp.Header.Get("Alt-Svc") != ""; told != want {
			t.Errorf("%s: Alt-Svc is %q", host, resp.Header.Get("Alt-Svc"))
		}
		resp, err := i.client3(t).Get("https://" + host + "/")
		if (err == nil) != want {
			t.Errorf("%s by HTTP/3: %v", host, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}

// The keys of session tickets change by themselves, and what is old is not taken.
func TestTicketKeysRotate(t *testing.T) {
	t.Parallel()
	var now clockAt
	i := serve(t, []*route.Route{at("a.test", echoOrigin(t))}, withServer(func(s *Server) { s.tls.Time = now.time }))
	cfg := &tls.Config{RootCAs: i.certs.roots, ServerName: "a.test", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	resumed := func() bool {
		t.Helper()
		conn := tls.Client(i.dialAt(t, i.https), cfg)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatal(err)
		}
		return conn.ConnectionState().DidResume
	}
	resumed()
	now.add(25 * time.Hour) // a new key, while the old one is known
	if !resumed() {
		t.Error("not resumed after a day")
	}
	now.add(10 * 24 * time.Hour)
	if resumed() {
		t.Error("resumed by a key that should have been forgotten")
	}
}

// OpenSSL's client, which shows what the handshake asks for.
func TestOpenSSLSeesTheRequest(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		need.Missing(t, "there is no openssl (apt-get install openssl)")
	}
	ca := newTestCA(t)
	i := serve(t, []*route.Route{
		asking(at("must.test", echoIdentity(t)), middleware.ClientTLS{Auth: middleware.Require, CA: ca.pem}),
		at("open.test", echoIdentity(t)),
	})
	jo := ca.client(t, "jo")
	folder := t.TempDir()
	keyDER, err := x509.MarshalPKCS8PrivateKey(jo.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	pair := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: jo.Leaf.Raw})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	file := filepath.Join(folder, "pair.pem")
	if err := os.WriteFile(file, []byte(pair), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"must.test": "Acceptable client certificate CA names", "open.test": "No client certificate CA names sent"} {
		cmd := exec.Command("openssl", "s_client", "-connect", i.https, "-servername", host, "-cert", file, "-key", file, "-ign_eof")
		cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), "200 OK") {
			t.Errorf("%s: %v\n%s", host, err, out)
		}
	}
}

// What was good once is not checked anew for each request.
func TestClientCertificateAllocates(t *testing.T) {
	ca := newTestCA(t)
	jo := ca.client(t, "jo").Leaf
	values := label.Values{"tls.client-auth": "require", "tls.client-ca": ca.pem}
	m := &middleware.ClientTLS{}
	if problems := label.Parse("test", func(o string) string { return o }, values, m); len(problems) > 0 {
		t.Fatal(problems)
	}
	h := m.Wrap(countingHandler{})
	ex := exchangeFor("must.test", &tls.ConnectionState{ServerName: "must.test", Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{jo}})
	h.Serve(ex)
	if ex.Response.Status != 200 {
		t.Fatalf("answered with %d", ex.Response.Status)
	}
	if n := testing.AllocsPerRun(100, func() { ex.Request.Fields.Reset(); h.Serve(ex) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

type countingHandler struct{}

func (countingHandler) Serve(ex *exchange.Exchange) { ex.Response.Status = 200 }

func exchangeFor(host string, state *tls.ConnectionState) *exchange.Exchange {
	ex := exchange.Get()
	ex.Request.Authority = []byte(host)
	ex.Conn = &exchange.Conn{TLS: state, Protocol: exchange.HTTP2, ClientAsked: true}
	return ex
}

// clockAt is a clock that tests move on.
type clockAt struct{ ahead atomic.Int64 }

func (c *clockAt) time() time.Time     { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clockAt) add(d time.Duration) { c.ahead.Add(int64(d)) }
