package certs

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// responder is a CA's OCSP responder.
type responder struct {
	*httptest.Server
	asked  atomic.Int32
	status atomic.Int32 // as in package ocsp
	hold   chan struct{}
}

func newResponder(t *testing.T, ca *fakeCA, good time.Duration) *responder {
	t.Helper()
	r := &responder{hold: make(chan struct{})}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		<-r.hold
		data, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		question, err := ocsp.ParseRequest(data)
		if err != nil {
			t.Error(err)
			return
		}
		now := time.Now()
		answer, err := ocsp.CreateResponse(ca.root, ca.root, ocsp.Response{
			Status: int(r.status.Load()), SerialNumber: question.SerialNumber,
			ThisUpdate: now.Add(-time.Minute).Truncate(time.Second), NextUpdate: now.Add(good).Truncate(time.Second), RevokedAt: now,
		}, ca.signs)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(answer)
	}))
	t.Cleanup(r.Close)
	ca.ocsp = r.URL
	return r
}

// staple returns what handshakes carry, nil if nothing.
func staple(t *testing.T, m *Manager, ca *fakeCA) *ocsp.Response {
	t.Helper()
	cert := m.names.Load().get("a.com").cert.Load()
	if cert == nil || cert.OCSPStaple == nil {
		return nil
	}
	r, err := ocsp.ParseResponseForCert(cert.OCSPStaple, cert.Leaf, ca.root)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A responder that hangs delays nothing; what it says in the end is stapled, and
// kept for the next start; and a revoked certificate is replaced.
func TestStapling(t *testing.T) {
	t.Parallel()
	ca, folder := newFakeCA(t, ninetyDays), t.TempDir()
	r := newResponder(t, ca, time.Hour)
	m, stop, _ := manageAt(t, folder, ca, quick())
	m.SetNames(plain("a.com"))
	await(t, "a certificate", valid(m, "a.com"))
	await(t, "a question", func() bool { return r.asked.Load() == 1 })
	if _, err := handshake(t, m, "a.com"); err != nil {
		t.Error(err)
	}
	if staple(t, m, ca) != nil {
		t.Error("something is stapled before the responder said it")
	}
	close(r.hold)
	await(t, "the staple", func() bool { s := staple(t, m, ca); return s != nil && s.Status == ocsp.Good })
	await(t, "its file", func() bool {
		files, err := filepath.Glob(filepath.Join(folder, "ocsp", "*"))
		return err == nil && len(files) == 1
	})
	stop()

	m, stop, _ = manageAt(t, folder, ca, quick())
	defer stop()
	m.SetNames(plain("a.com"))
	await(t, "the staple of the run before", func() bool { return staple(t, m, ca) != nil })
	if n := r.asked.Load(); n != 1 {
		t.Errorf("the responder was asked %d times, want 1", n)
	}
}

func TestRevokedCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	ca := newFakeCA(t, ninetyDays)
	r := newResponder(t, ca, time.Hour)
	r.status.Store(ocsp.Revoked)
	m, stop, l := manageAt(t, t.TempDir(), ca, quick())
	defer stop()
	m.SetNames(plain("a.com"))
	await(t, "a certificate", valid(m, "a.com"))
	serial := m.Status("a.com").Serial
	await(t, "a question", func() bool { return r.asked.Load() == 1 })
	close(r.hold)
	await(t, "another certificate", func() bool { return m.Status("a.com").Serial != serial })
	r.status.Store(ocsp.Good)
	await(t, "the staple", func() bool { return staple(t, m, ca) != nil })
	if len(l.lines("level=WARN", "revoked", "name=a.com")) == 0 {
		t.Error("the log does not say so")
	}
}
