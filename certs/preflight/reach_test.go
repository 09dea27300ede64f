package preflight

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tlsPort is a free one, where handler answers by TLS with a certificate by an organisation.
func tlsPort(t *testing.T, handler http.Handler, by string) int {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{by}}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

// Either port will do; what is wrong with both is told in one sentence.
func TestReach(t *testing.T) {
	t.Parallel()
	server := zone{
		"good.example.com. 60 IN A 127.0.0.1",
		"two.example.com. 60 IN A 127.0.0.1", "two.example.com. 60 IN A 127.0.0.9", // nobody is at the latter
		"far.example.com. 60 IN A 127.0.0.9",
	}.serve(t)
	directory, roots := fakeCA(t, 0)
	c := New([]string{server})
	others := http.NotFoundHandler()
	here, foreign, dead := port(t, c.Handler()), port(t, others), port(t, nil)
	hereTLS, foreignTLS, betweenTLS := tlsPort(t, c.Handler(), "Portway"), tlsPort(t, others, "Portway"), tlsPort(t, c.Handler(), "CDN")
	for _, x := range []struct {
		name      string
		port, tls int
		http, sec Reach
		warn      string // with the ports as H and S
	}{
		{"good", here, hereTLS, Here, Here, ""},
		{"good", here, dead, Here, NotHere, ""},
		{"good", dead, hereTLS, NotHere, Here, ""},
		{"good", foreign, hereTLS, NotHere, Here, ""},
		{"good", here, foreignTLS, Here, NotHere, ""},
		{"good", here, betweenTLS, Here, NotHere, ""}, // somebody else ends TLS, and asks us
		{"good", -1, hereTLS, Unknown, Here, ""},
		{"good", here, -1, Here, Unknown, ""},
		{"good", -1, -1, Unknown, Unknown, ""},
		{"good", dead, dead, NotHere, NotHere, "which is this machine, but nothing answers at port H or S."},
		{"good", foreign, foreignTLS, NotHere, NotHere, "where something else than Portway answers at port H (404 Not Found) and S (404 Not Found): let it"},
		{"good", foreign, dead, NotHere, NotHere, "where something else than Portway answers at port H (404 Not Found), and nothing at port S: let it"},
		{"good", dead, betweenTLS, NotHere, NotHere, "answers at port S (with a certificate of its own), and nothing at port H: let it"},
		{"good", -1, dead, Unknown, NotHere, "nothing answers at port S."},
		{"far", dead, dead, NotHere, NotHere, "where port H or S cannot be reached from here: that is so behind some routers"},
		{"two", here, hereTLS, NotHere, NotHere, "two.example.com points to 127.0.0.9, where port H or S cannot be reached"},
	} {
		r := c.Check(t.Context(), Target{Name: x.name + ".example.com", Directory: directory, Roots: roots, Port: x.port, TLSPort: x.tls})
		want := strings.NewReplacer("H", strconv.Itoa(x.port), "S", strconv.Itoa(x.tls)).Replace(x.warn)
		warned := strings.Join(r.Warnings, " ")
		if r.Fatal != "" || r.HTTP != x.http || r.TLS != x.sec || len(r.Warnings) > 1 || (want == "") != (warned == "") || !strings.Contains(warned, want) {
			t.Errorf("%s, %d and %d: %+v, want %d, %d and %q", x.name, x.port, x.tls, r, x.http, x.sec, want)
		}
	}
}
