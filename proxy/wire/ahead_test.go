package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// lazy sends only what is taken from it, or what was written when something is read.
type lazy struct {
	net.Conn
	written []byte
}

func (l *lazy) Write(p []byte) (int, error) {
	l.written = append(l.written, p...)
	return len(p), nil
}

func (l *lazy) Read(p []byte) (int, error) {
	if _, err := l.Conn.Write(l.take()); err != nil {
		return 0, err
	}
	return l.Conn.Read(p)
}

func (l *lazy) take() []byte {
	b := l.written
	l.written = nil
	return b
}

// secured is a TLS connection over a Cork whose client sends first together with the
// end of its handshake.
func secured(t *testing.T, version uint16, first string) (client *tls.Conn, out *lazy, server *tls.Conn, cork *Cork) {
	t.Helper()
	near, far := pair(t)
	deadline := time.Now().Add(time.Minute)
	if err := errors.Join(near.SetDeadline(deadline), far.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	cork = NewCork(far)
	server = tls.Server(cork, &tls.Config{Certificates: []tls.Certificate{certificate(t)}, SessionTicketsDisabled: true})
	out = &lazy{Conn: near}
	client = tls.Client(out, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	err := client.Handshake()
	if err == nil {
		_, err = client.Write([]byte(first))
	}
	if err == nil {
		_, err = near.Write(out.take())
	}
	if err = errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	return client, out, server, cork
}

// TestReadPooledMissesNothing cuts two records at every place: what has come whole is
// read before any more comes, whatever of it TLS, the Cork or the kernel hold.
func TestReadPooledMissesNothing(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, out, server, cork := secured(t, version, "first")
		read := func(want string, with func() ([]byte, int, error)) {
			t.Helper()
			b, n, err := with()
			if err != nil || string(b[:n]) != want {
				t.Fatalf("read %q, %v, want %q", b[:n], err, want)
			}
			Put(b)
		}
		pooled := func() ([]byte, int, error) { return cork.ReadPooled(server) }
		bare := func() ([]byte, int, error) {
			b := Get(Small)
			n, err := server.Read(b)
			return b, n, err
		}
		read("first", pooled)
		for _, second := range []func() ([]byte, int, error){pooled, bare} {
			const a, b = "a request", "and what follows, which is longer"
			for cut, all := 0, 1; cut <= all; cut++ {
				_, _ = client.Write([]byte(a)) // into memory
				one := len(out.written)
				_, _ = client.Write([]byte(b))
				sent := out.take()
				all = len(sent)
				send := func(p []byte) {
					if _, err := out.Conn.Write(p); err != nil {
						t.Fatal(err)
					}
				}
				send(sent[:cut])
				if cut >= one {
					read(a, pooled)
				}
				if cut == all {
					read(b, second)
				} else {
					// TLS takes what there is of the next record.
					cork.NoWait(true)
					if p, n, err := pooled(); !errors.Is(err, ErrNothing) || p != nil {
						t.Fatalf("cut at %d of %d: read %q, %v", cut, all, p[:n], err)
					}
					cork.NoWait(false)
				}
				send(sent[cut:])
				if cut < one {
					read(a, pooled)
				}
				if cut < all {
					read(b, second)
				}
			}
		}
		if cork.ahead.buf != nil {
			t.Error("a buffer is held for nothing")
		}
	}
}

func TestReadPooledLargeAndEnd(t *testing.T) {
	t.Parallel()
	client, out, server, cork := secured(t, tls.VersionTLS13, "first")
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	go func() {
		for from := 0; from < len(content); from += 50_000 {
			_, _ = client.Write(content[from:min(from+50_000, len(content))])
			_, _ = out.Conn.Write(out.take())
		}
		_ = client.CloseWrite()
		_ = out.SetWriteDeadline(time.Time{}) // which it has put to now
		_, _ = out.Conn.Write(out.take())
	}()
	var got []byte
	for {
		b, n, err := cork.ReadPooled(server)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
		Put(b)
	}
	if want := append([]byte("first"), content...); !bytes.Equal(got, want) {
		t.Errorf("%d bytes came of %d, or others", len(got), len(want))
	}

	// A deadline ends the waiting, and breaks nothing.
	client, out, server, cork = secured(t, tls.VersionTLS13, "first")
	for _, want := range []string{"first", "more"} {
		b, n, err := cork.ReadPooled(server)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("read %q, %v", b[:n], err)
		}
		Put(b)
		_ = server.SetReadDeadline(time.Unix(1, 0))
		var timeout net.Error
		if _, _, err := cork.ReadPooled(server); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("past the deadline: %v", err)
		}
		_ = server.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = client.Write([]byte("more"))
		_, _ = out.Conn.Write(out.take())
	}
}

// TestReadPooledWithoutSocket works too, byte by byte.
func TestReadPooledWithoutSocket(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	cork := NewCork(far)
	server := tls.Server(cork, &tls.Config{Certificates: []tls.Certificate{certificate(t)}, SessionTicketsDisabled: true})
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	go func() { _, _ = client.Write([]byte("hi")) }()
	for _, want := range []string{"h", "i"} {
		b, n, err := cork.ReadPooled(server)
		if err != nil || string(b[:n]) != want || len(b) != Small {
			t.Errorf("read %q, %v, want %q", b[:n], err, want)
		}
		Put(b)
	}
	_ = near.Close()
}
