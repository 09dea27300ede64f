package localca

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portway/internal/need"
)

// Whoever has the key of the CA, or of an intermediate, cannot speak for others.
func TestConstraints(t *testing.T) {
	t.Parallel()
	ca, _ := newCA(t, t.TempDir())
	root, err := ca.Root()
	if err != nil {
		t.Fatal(err)
	}
	if !root.Bounded {
		t.Error("a new root is not bounded")
	}
	s, err := ca.private.signer()
	if err != nil {
		t.Fatal(err)
	}
	if !constrained(s.cert) || !s.cert.PermittedDNSDomainsCritical || s.cert.NotAfter.Sub(s.cert.NotBefore) > 366*24*time.Hour {
		t.Error("the intermediate has no critical constraints, or lives for more than a year")
	}
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"localhost", true},
		{"a.b.localhost", true},
		{"nas.lan", true},
		{"*.home.arpa", true},
		{"192.168.1.1", true},
		{"100.100.1.1", true},
		{"::1", true},
		{"fe80::1", true},
		{"bank.example.com", false},
		{"notlocalhost", false},
		{"nas", false},
		{"8.8.8.8", false},
		{"2001:4860::1", false},
	} {
		forged, err := s.issue([]string{c.name})
		if err != nil {
			t.Fatal(err)
		}
		host := strings.Replace(c.name, "*", "x", 1)
		if err := verify(forged, root.Cert, host, time.Now()); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if permits(root.Cert, c.name) != c.ok {
			t.Errorf("permits(%s) is %v", c.name, !c.ok)
		}
		// The intermediate's constraints hold also where those of a root are not looked at.
		plain := *root.Cert
		plain.PermittedDNSDomains, plain.PermittedIPRanges = nil, nil
		if err := verify(forged, &plain, host, time.Now()); (err == nil) != c.ok {
			t.Errorf("%s, by the intermediate alone: %v", c.name, err)
		}
	}
}

// Names that the bounded root must not certify work all the same, by another one.
func TestOtherRoot(t *testing.T) {
	t.Parallel()
	ca, log := newCA(t, t.TempDir())
	if _, err := ca.Certify(new(Leaf), "a.localhost"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := ca.Other(); ok || err != nil {
		t.Fatalf("there is a second root without need (%v)", err)
	}
	for _, name := range []string{"nas", "8.8.8.8", "www.example.com"} {
		cert, err := ca.Certify(new(Leaf), name)
		if err != nil {
			t.Fatal(err)
		}
		other, ok, err := ca.Other()
		if !ok || err != nil || other.Bounded || filepath.Base(other.Path) != "root-any.crt" {
			t.Fatalf("%+v, %v, %v", other, ok, err)
		}
		if err := verify(cert, other.Cert, name, time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !strings.Contains(log.String(), "single words") {
		t.Errorf("the second root is not explained:\n%s", log)
	}
	if cert, err := ca.Provisional(new(Leaf), "www.example.org"); err != nil {
		t.Error(err)
	} else if root, _ := ca.Root(); verify(cert, root.Cert, "www.example.org", time.Now()) == nil {
		t.Error("a provisional certificate for a public name is trusted")
	}
}

func TestUnboundedByChoice(t *testing.T) {
	t.Parallel()
	ca := New(Config{Folder: t.TempDir(), Unbounded: true, Logger: slog.New(slog.DiscardHandler)})
	for _, name := range []string{"www.example.com", "nas", "8.8.8.8", "a.lan"} {
		cert, err := ca.Certify(new(Leaf), name)
		if err != nil {
			t.Fatal(err)
		}
		root, _ := ca.Root()
		if err := verify(cert, root.Cert, name, time.Now()); err != nil || root.Bounded {
			t.Errorf("%s: %v, bounded: %v", name, err, root.Bounded)
		}
	}
	if _, ok, _ := ca.Other(); ok {
		t.Error("there is a second root")
	}
}

// storeRoot writes a root as versions without intermediates did.
func storeRoot(t *testing.T, folder string, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{Organization: []string{"Portway"}, CommonName: "Portway internal CA abcdef"},
		NotBefore: now, NotAfter: now.Add(rootLifetime), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1, 2, 3},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "root.crt"), string(encode(der)))
	write(t, filepath.Join(folder, "root.key"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A storage of an earlier version goes on: devices trust its root.
func TestRootOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*x509.Certificate){
		"as it was":                  func(*x509.Certificate) {},
		"may have no CA below it":    func(c *x509.Certificate) { c.MaxPathLenZero = true },
		"of the user's, constrained": func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"lan", "nas"} },
	} {
		folder := t.TempDir()
		old := storeRoot(t, folder, change)
		ca, _ := newCA(t, folder)
		for _, name := range []string{"a.lan", "nas", "192.168.1.1"} {
			cert, err := ca.Certify(new(Leaf), name)
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(cert, old, name, time.Now()); err != nil {
				t.Errorf("%s: %s: %v", what, name, err)
			}
		}
		if root, err := ca.Root(); err != nil || !root.Cert.Equal(old) {
			t.Errorf("%s: another root (%v)", what, err)
		}
	}
}

// Over the whole life of a root and its successor, there is no day on which a client
// that trusts either, while it is valid, is not content.
func TestRotation(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ca, log := newCA(t, folder)
		var l Leaf
		first, err := ca.Root()
		if err != nil {
			t.Fatal(err)
		}
		intermediates := map[string]bool{}
		var second *x509.Certificate
		for time.Since(first.Cert.NotBefore) < rootLifetime+365*24*time.Hour {
			if root, err := ca.Root(); err != nil {
				t.Fatal(err)
			} else if !root.Cert.Equal(first.Cert) {
				second = root.Cert
			}
			cert, err := ca.Certify(&l, "nas.lan")
			if err != nil {
				t.Fatal(err)
			}
			intermediates[string(cert.Certificate[1])] = true
			now := time.Now()
			if now.Before(first.Cert.NotAfter) {
				if err := verify(cert, first.Cert, "nas.lan", now); err != nil {
					t.Fatalf("%v: by the first root: %v", now, err)
				}
			}
			if second != nil {
				if err := verify(cert, second, "nas.lan", now); err != nil {
					t.Fatalf("%v: by the second root: %v", now, err)
				}
			}
			if intermediate, _ := x509.ParseCertificate(cert.Certificate[1]); cert.Leaf.NotAfter.After(intermediate.NotAfter) {
				t.Fatal("a certificate outlives its intermediate")
			}
			if second != nil && len(intermediates)%10 == 0 { // a restart makes no difference
				ca, _ = newCA(t, folder)
			}
			time.Sleep(4 * 24 * time.Hour)
		}
		if second == nil || !constrained(second) || len(intermediates) < 11*365/90 {
			t.Errorf("second root: %v, intermediates: %d", second != nil, len(intermediates))
		}
		if !strings.Contains(log.String(), "old_root_ends") {
			t.Errorf("the successor is not announced:\n%s", log)
		}
	})
}

// What OpenSSL thinks, which decides about curl and most that is not a browser.
func TestOpenSSLAccepts(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		need.Missing(t, "there is no openssl (apt-get install openssl)")
	}
	folder := t.TempDir()
	ca, _ := newCA(t, folder)
	for name, args := range map[string][]string{
		"nas.lan":     {"-verify_hostname", "nas.lan"},
		"localhost":   {"-verify_hostname", "localhost"},
		"*.dev.test":  {"-verify_hostname", "a.dev.test"},
		"192.168.1.9": {"-verify_ip", "192.168.1.9"},
		"::1":         {"-verify_ip", "::1"},
		"nas":         {"-verify_hostname", "nas"},
	} {
		cert, err := ca.Certify(new(Leaf), name)
		if err != nil {
			t.Fatal(err)
		}
		root, _ := ca.Root()
		if name == "nas" {
			root, _, _ = ca.Other()
		}
		files := t.TempDir()
		write(t, filepath.Join(files, "leaf"), string(encode(cert.Certificate[0])))
		write(t, filepath.Join(files, "chain"), string(encode(cert.Certificate[1])))
		args = append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", root.Path, "-untrusted", filepath.Join(files, "chain")}, args...)
		if out, err := exec.Command("openssl", append(args, filepath.Join(files, "leaf"))...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// A real handshake, with nothing but the root on the client's side.
func TestHandshake(t *testing.T) {
	t.Parallel()
	ca, _ := newCA(t, t.TempDir())
	var l Leaf
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return ca.Certify(&l, "127.0.0.1")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) { _ = c.(*tls.Conn).Handshake(); _ = c.Close() }(c)
		}
	}()
	root, err := ca.Root()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root.PEM)
	c, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if content, err := os.ReadFile(root.Path); err != nil || !bytes.Equal(content, root.PEM) {
		t.Errorf("the file is not what is trusted: %v", err)
	}
}
