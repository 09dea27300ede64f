package localca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newCA(t *testing.T, folder string) (*CA, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	return New(Config{Folder: folder, Logger: slog.New(slog.NewTextHandler(log, nil))}), log
}

// verify checks cert as a client does that trusts root, at the time of now.
func verify(cert *tls.Certificate, root *x509.Certificate, host string, now time.Time) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, der := range cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		others.AddCert(c)
	}
	_, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: host, CurrentTime: now})
	return err
}

func TestInternalChainVerifies(t *testing.T) {
	t.Parallel()
	ca, _ := newCA(t, t.TempDir())
	for _, c := range []struct {
		names []string
		hosts []string // that verify
		other string   // that does not
	}{
		{[]string{"whoami.localhost"}, []string{"whoami.localhost"}, "other.localhost"},
		{[]string{"*.dev.lan"}, []string{"a.dev.lan", "b.dev.lan"}, "dev.lan"},
		{[]string{"192.168.1.10", "fd00::1"}, []string{"192.168.1.10", "fd00::1"}, "192.168.1.11"},
		{[]string{"my_app.lan"}, []string{"my_app.lan"}, "myapp.lan"},
		{[]string{strings.Repeat("a", 63) + ".long.test"}, []string{strings.Repeat("a", 63) + ".long.test"}, "long.test"},
	} {
		cert, err := ca.Certify(new(Leaf), c.names...)
		if err != nil {
			t.Fatal(err)
		}
		root, err := ca.Root()
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range c.hosts {
			if err := verify(cert, root.Cert, host, time.Now()); err != nil {
				t.Errorf("%v for %s: %v", c.names, host, err)
			}
		}
		if err := cert.Leaf.VerifyHostname(c.other); err == nil {
			t.Errorf("%v is good for %s too", c.names, c.other)
		}
		if days := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore).Hours() / 24; days > 8 {
			t.Errorf("%v lives for %.0f days", c.names, days)
		}
	}
}

func TestRootIsKeptWithTightModes(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "internal-ca")
	ca, log := newCA(t, folder)
	first, err := ca.Root()
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]fs.FileMode{folder: 0o700, ca.private.keyFile(1): 0o600, ca.private.certFile(1): 0o644} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v; want mode %v", file, info.Mode(), err, want)
		}
	}
	if years := time.Until(first.Cert.NotAfter).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("the root lives for %.1f years, want 10", years)
	}
	for _, way := range []string{ca.private.certFile(1), "update-ca-certificates", "certutil", "add-trusted-cert"} {
		if strings.Count(log.String(), "msg=") != 1 || !strings.Contains(log.String(), way) {
			t.Errorf("the log has not one line with %q:\n%s", way, log)
		}
	}
	again, _ := newCA(t, folder)
	second, err := again.Root()
	if err != nil || !bytes.Equal(first.PEM, second.PEM) {
		t.Fatalf("another start has another root (%v)", err)
	}
}

func TestRootIsMadeOnceAmongMany(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	var wg sync.WaitGroup
	roots := make([]Root, 8)
	for i := range roots {
		wg.Go(func() {
			ca := New(Config{Folder: folder, Logger: slog.New(slog.DiscardHandler)}) // as another process would
			root, err := ca.Root()
			if err != nil {
				t.Error(err)
				return
			}
			roots[i] = root
		})
	}
	wg.Wait()
	for _, root := range roots[1:] {
		if !bytes.Equal(root.Cert.RawSubjectPublicKeyInfo, roots[0].Cert.RawSubjectPublicKeyInfo) {
			t.Fatal("two processes that start together have different roots")
		}
	}
}

// A crash may come between the two files, and people restore or delete one.
func TestRootFilesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, ca *CA)
		want  string // in the error; empty: it works, with the same key
	}{
		{"certificate missing", func(t *testing.T, ca *CA) { remove(t, ca.private.certFile(1)) }, ""},
		{"key missing", func(t *testing.T, ca *CA) { remove(t, ca.private.keyFile(1)) }, "restore the key from a backup"},
		{"key empty", func(t *testing.T, ca *CA) { write(t, ca.private.keyFile(1), "") }, "is not a private key"},
		{"certificate torn", func(t *testing.T, ca *CA) { write(t, ca.private.certFile(1), "-----BEGIN CERT") }, "is not a PEM certificate"},
		{"certificate of another key", func(t *testing.T, ca *CA) {
			other, _ := newCA(t, t.TempDir())
			root, err := other.Root()
			if err != nil {
				t.Fatal(err)
			}
			write(t, ca.private.certFile(1), string(root.PEM))
		}, "does not belong to its key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			ca, _ := newCA(t, folder)
			before, err := ca.Root()
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(t, ca)
			keyFile, _ := os.ReadFile(ca.private.keyFile(1))

			ca, _ = newCA(t, folder)
			root, err := ca.Root()
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(root.Cert.RawSubjectPublicKeyInfo, before.Cert.RawSubjectPublicKeyInfo) {
					t.Error("the key changed")
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), folder) {
				t.Errorf("got %v, want %q and the folder", err, c.want)
			}
			if now, _ := os.ReadFile(ca.private.keyFile(1)); !bytes.Equal(now, keyFile) {
				t.Error("the key file was written over")
			}
		})
	}
}

func TestLeafIsRenewedWithAThirdLeft(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ca, _ := newCA(t, folder)
		var l Leaf
		first, err := ca.Certify(&l, "a.test")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(leafLifetime/2 + time.Hour)
		if same, _ := ca.Certify(&l, "a.test"); same != first {
			t.Error("renewed with half of the lifetime left")
		}
		time.Sleep(leafLifetime/6 + time.Hour)
		if next, _ := ca.Certify(&l, "a.test"); next == first {
			t.Error("not renewed with less than a third left")
		}
	})
}

func TestExpiredRoot(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ca, _ := newCA(t, folder)
		if _, err := ca.Root(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rootLifetime + time.Hour)
		ca, _ = newCA(t, folder)
		if _, err := ca.Root(); err == nil || !strings.Contains(err.Error(), "expired on") {
			t.Errorf("got %v, want that the root expired", err)
		}
	})
}

func write(t *testing.T, file, data string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
