package discovery

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"portway/internal/dockertest"
	"portway/route"
)

func TestDialRefusesNonsense(t *testing.T) {
	for _, c := range []struct {
		e    Endpoint
		want string
	}{
		{Endpoint{Host: "/var/run/docker.sock"}, "is no address; write it like unix:///var/run/docker.sock"},
		{Endpoint{Host: "tcp://"}, "is no address"},
		{Endpoint{Host: "ssh://me@host"}, "cannot speak ssh"},
		{Endpoint{Host: "tcp://host:2376", CA: "ca.pem"}, `needs all of CA, certificate and key; got CA "ca.pem", certificate "", key ""`},
		{Endpoint{Host: "tcp://host:2376", CA: "/none", Cert: "/none", Key: "/none"}, "/none"},
	} {
		if _, err := Dial(c.e); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.e, err, c.want)
		}
	}
	t.Setenv("DOCKER_HOST", "nonsense")
	if _, err := Dial(Endpoint{}); err == nil || !strings.Contains(err.Error(), "is no address") {
		t.Errorf("DOCKER_HOST=nonsense: error %v", err)
	}
}

func TestCheckHostAddsPort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host   string
		secure bool
		want   string
	}{
		{"tcp://engine", false, "tcp://engine:2375"},
		{"tcp://engine", true, "tcp://engine:2376"},
		{"tcp://[::1]", true, "tcp://[::1]:2376"},
		{"tcp://engine:99/base", true, "tcp://engine:99/base"},
		{"tcp://engine/base", false, "tcp://engine:2375/base"},
	} {
		if got, err := checkHost(c.host, c.secure); got != c.want || err != nil {
			t.Errorf("%s: %s, %v, want %s", c.host, got, err, c.want)
		}
	}
}

// Each way to an engine leads there: unix is what TestGolden uses.
func TestDialTCP(t *testing.T) {
	f := newFakeEngine()
	f.put(newContainer("app"))
	s := httptest.NewServer(f)
	defer s.Close()
	host := "tcp://" + s.Listener.Addr().String()

	list := func(e Endpoint) {
		t.Helper()
		engine, err := Dial(e)
		if err != nil {
			t.Fatal(err)
		}
		if l, err := engine.ContainerList(t.Context(), container.ListOptions{All: true}); err != nil || len(l) != 1 {
			t.Errorf("%+v: %v, %v", e, l, err)
		}
	}
	list(Endpoint{Host: host})
	t.Setenv("DOCKER_HOST", host)
	list(Endpoint{})
	t.Setenv("DOCKER_HOST", dockertest.Unreachable(t))
	list(Endpoint{Host: host}) // what is said explicitly goes first
}

// A TLS-secured endpoint is verified, and gets our certificate.
func TestDialTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate, pool := selfSigned(t, dir)
	f := newFakeEngine()
	s := httptest.NewUnstartedServer(f)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.StartTLS()
	defer s.Close()
	e := Endpoint{
		Host: "tcp://" + s.Listener.Addr().String(),
		CA:   filepath.Join(dir, "cert.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
	}
	engine, err := Dial(e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.ContainerList(t.Context(), container.ListOptions{All: true}); err != nil {
		t.Error(err)
	}
	plain, err := Dial(Endpoint{Host: e.Host})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Ping(t.Context()); err == nil {
		t.Error("a TLS-secured engine answered without TLS")
	}
	stranger := t.TempDir()
	selfSigned(t, stranger)
	e.CA = filepath.Join(stranger, "cert.pem")
	if engine, err = Dial(e); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an engine with a certificate by a stranger: %v", err)
	}
}

// selfSigned writes cert.pem and key.pem of a certificate for both sides.
func selfSigned(t *testing.T, dir string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "engine"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	write(t, filepath.Join(dir, "cert.pem"), string(certPEM))
	write(t, filepath.Join(dir, "key.pem"), string(keyPEM))
	certificate, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certificate, pool
}

// What a person is told when there is nothing to hear from the engine, by the
// errors that the client really gives.
func TestEngineTrouble(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := httptest.NewServer(garbageHandler{})
	defer garbage.Close()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = refusing.Close()
	for _, c := range []struct{ host, why, fix string }{
		{"unix://" + filepath.Join(dir, "none.sock"), "there is no such socket", "mount it into the container"},
		{"unix://" + dir, "is a folder and no socket", "remove the folder on the host"},
		{dockertest.Unreachable(t), "nothing listens on the socket", "see whether the engine runs"},
		{"tcp://" + refusing.Addr().String(), "Cannot connect to the Docker daemon", "check the engine's address"},
		{"tcp://" + garbage.Listener.Addr().String(), "answers what is no Docker API: ", "check that the address is that of a Docker engine"},
	} {
		engine, err := Dial(Endpoint{Host: c.host})
		if err != nil {
			t.Fatal(err)
		}
		_, err = engine.ContainerList(t.Context(), container.ListOptions{All: true})
		if err == nil {
			t.Fatalf("%s: no error", c.host)
		}
		p := engineTrouble(c.host, err)
		if !strings.HasPrefix(p.Why, c.why) || !strings.HasPrefix(p.Fix, c.fix) {
			t.Errorf("%s: %v: %s", c.host, err, p)
		}
	}
	socket := dockertest.Unreachable(t)
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("dial unix: %w", os.ErrPermission), `group_add: ["`},
		{fmt.Errorf("get: %w", context.DeadlineExceeded), "does not answer in time"},
		{io.EOF, "closed the connection"},
		{errors.New("line\nbreak \x1b[31m" + strings.Repeat("x", 10_000)), "line break [31mxxx"},
	} {
		p := engineTrouble(socket, c.err)
		if !strings.Contains(p.String(), c.want) || len(p.String()) > 600 || strings.ContainsAny(p.String(), "\n\x1b") {
			t.Errorf("%v: %s", c.err, p)
		}
	}
}

// The same, as far as the table: with what is not a Docker engine, other
// sources go on.
func TestWatchWithoutEngine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "nas.yaml"), "nas: {host: nas.test, to: http://192.168.1.10}\n")
	garbage := httptest.NewServer(garbageHandler{})
	defer garbage.Close()
	for _, host := range []string{"unix://" + filepath.Join(dir, "none.sock"), "tcp://" + garbage.Listener.Addr().String()} {
		engine, err := Dial(Endpoint{Host: host})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ts := start(t, Config{Engine: engine, Static: dir})
		table := ts.until("with a Problem", func(table *route.Table) bool { return len(table.Problems()) == 1 })
		if len(table.Routes()) != 1 || !strings.Contains(table.Problems()[0].Source, host) {
			t.Errorf("%s:\n%s", host, dump(table))
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("static routes had to wait %v", d)
		}
	}
}
