package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// An origin that lets in only who has a certificate by its CA, and that is to be known by
// its own.
func TestOriginTLS(t *testing.T) {
	t.Parallel()
	clients, servers, other := newTestCA(t), newTestCA(t), newTestCA(t)
	mine := clients.client(t, "portway")
	keyDER, err := x509.MarshalPKCS8PrivateKey(mine.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: mine.Leaf.Raw}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	shown := servers.client(t, "origin", func(c *x509.Certificate) {
		c.ExtKeyUsage, c.DNSNames = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []string{"app.internal"}
	})

	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			who = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		_, _ = io.WriteString(w, who+" asks "+r.TLS.ServerName)
	}))
	origin.TLS = &tls.Config{Certificates: []tls.Certificate{*shown}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool()}
	origin.TLS.ClientCAs.AddCert(clients.cert)
	origin.EnableHTTP2 = true
	origin.Config.ErrorLog = log.New(io.Discard, "", 0)
	origin.StartTLS()
	t.Cleanup(origin.Close)

	checked := quickly(label.Values{"health": "http", "origin-tls.ca": other.pem, "origin-tls.server-name": "app.internal"})
	cases := map[string]struct {
		values label.Values
		status int
		want   string
	}{
		"plain":    {label.Values{}, 200, "nobody asks "},
		"verified": {label.Values{"origin-tls.ca": servers.pem, "origin-tls.server-name": "app.internal"}, 200, "nobody asks app.internal"},
		"mutual":   {label.Values{"origin-tls.ca": servers.pem, "origin-tls.server-name": "app.internal", "origin-tls.cert": cert, "origin-tls.key": key}, 200, "portway asks app.internal"},
		"unnamed":  {label.Values{"origin-tls.ca": servers.pem}, 502, ""},
		"otherca":  {label.Values{"origin-tls.ca": other.pem, "origin-tls.server-name": "app.internal"}, 502, ""},
		"system":   {label.Values{"origin-tls.verify": "true", "origin-tls.server-name": "app.internal"}, 502, ""},
		"checked":  {checked, 503, ""},
	}
	var routes []*route.Route
	for name, c := range cases {
		r := labelled(t, at(name+".test", origin.Listener.Addr().String()), c.values)
		r.Upstreams[0].Scheme = route.HTTPS
		routes = append(routes, r)
	}
	i := serve(t, routes)
	for name, c := range cases {
		resp, body := get(t, i.client(t), "https://"+name+".test/")
		if resp.StatusCode != c.status || c.want != "" && body != c.want {
			t.Errorf("%s: %s %q, want %d %q", name, resp.Status, body, c.status, c.want)
		}
	}
	if !strings.Contains(i.log.String(), "certificate") {
		t.Error("the log does not say that a certificate is the reason")
	}
}
