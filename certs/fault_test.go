package certs

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/internal/pebbletest"
)

func TestFailedChallengeBacksOffAcrossRestart(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort})
	p.SetA("bad.backsoff.example.com", "127.0.0.9") // where nobody listens
	folder := t.TempDir()
	slow := quick()
	slow.backoff = backoff{base: time.Hour, limit: time.Hour}
	m, stop, l := obtain(t, p, f, folder, slow)
	m.SetNames(plain("bad.backsoff.example.com", "good.backsoff.example.com"))
	await(t, "the failure", failed(m, "bad.backsoff.example.com"))
	await(t, "the other name", valid(m, "good.backsoff.example.com"))
	s := m.Status("bad.backsoff.example.com")
	for _, want := range []string{"The CA said: ", "http-01: ", "tls-alpn-01: ", "connection refused", "DNS records (A, AAAA) of bad.backsoff.example.com"} {
		if !strings.Contains(s.LastError, want) {
			t.Errorf("got %q, want %q in it", s.LastError, want)
		}
	}
	if wait := time.Until(s.NextTry); s.Attempts != 1 || wait < 50*time.Minute || wait > 70*time.Minute {
		t.Errorf("after 1 failure: %d attempts, next in %v", s.Attempts, wait)
	}
	if n := len(l.lines("level=ERROR")); n != 1 {
		t.Errorf("%d errors in the log for one failure, want 1", n)
	}
	orders := p.Orders()
	stop()

	m, stop, _ = obtain(t, p, f, folder, slow)
	m.SetNames(plain("bad.backsoff.example.com", "good.backsoff.example.com"))
	await(t, "the failure to be known again", failed(m, "bad.backsoff.example.com"))
	if again := m.Status("bad.backsoff.example.com"); again.LastError != s.LastError || again.NextTry.Sub(s.NextTry).Abs() > time.Second || again.Attempts != 1 {
		t.Errorf("before the restart %+v, after it %+v", s, again)
	}
	if n := p.Orders(); n != orders {
		t.Errorf("a restart made %d more orders", n-orders)
	}
	stop()

	// The DNS is mended, and the time for the next try comes.
	p.ClearA("bad.backsoff.example.com")
	files, err := filepath.Glob(filepath.Join(folder, "failures", "*", "bad.backsoff.example.com.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the record of the failure: %v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	r.LastTry, r.NextTry = r.LastTry.Add(-time.Hour), time.Now()
	m, _, _ = obtain(t, p, f, folder, slow)
	if err := m.only(t).ledger.save(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	m.SetNames(plain("bad.backsoff.example.com"))
	await(t, "a certificate", valid(m, "bad.backsoff.example.com"))
	if _, err := os.Stat(files[0]); err == nil {
		t.Error("the failure is still recorded")
	}
}

func TestBadNonces(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort, BadNonces: 30})
	m, _, l := obtain(t, p, f, t.TempDir(), quick())
	names := []string{"a.badnonces.example.com", "b.badnonces.example.com", "c.badnonces.example.com"}
	m.SetNames(plain(names...))
	for _, name := range names {
		await(t, "a certificate for "+name, valid(m, name))
	}
	if len(l.lines("our nonce")) == 0 {
		t.Error("no nonce was refused")
	}
	if found := l.lines("level=ERROR"); len(found) != 0 {
		t.Errorf("errors: %s", found)
	}
}

func TestCADownThenUp(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort})
	m, _, l := obtain(t, p, f, t.TempDir(), quick())
	p.Down()
	m.SetNames(plain("a.down.example.com", "x.localhost"))
	await(t, "the failure", failed(m, "a.down.example.com"))
	s := m.Status("a.down.example.com")
	for _, want := range []string{"connection refused", "cannot be reached", p.Directory} {
		if !strings.Contains(s.LastError, want) {
			t.Errorf("got %q, want %q in it", s.LastError, want)
		}
	}
	await(t, "an internal name meanwhile", valid(m, "x.localhost"))
	p.Up()
	await(t, "a certificate", valid(m, "a.down.example.com"))

	// Pebble forgets all on its way: the account must be made anew.
	p.Down()
	p.Up()
	m.SetNames(plain("a.down.example.com", "b.down.example.com"))
	await(t, "a certificate with a forgotten account", valid(m, "b.down.example.com"))
	if _, err := served(t, m, "b.down.example.com", p.Roots()); err != nil {
		t.Error(err)
	}
	if s := m.Status("a.down.example.com"); s.State != Valid {
		t.Errorf("the other name: %+v", s)
	}
	if found := l.lines("level=ERROR", "name=b.down.example.com"); len(found) != 0 {
		t.Errorf("errors: %s", found)
	}
}

func TestRefusedByTheCA(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: f.httpPort, TLSPort: f.tlsPort, Blocked: []string{"blocked.com"}})
	m, _, _ := obtain(t, p, f, t.TempDir(), quick())
	m.SetNames(plain("a.blocked.com", "a.refused.example.com"))
	await(t, "the failure", failed(m, "a.blocked.com"))
	if s := m.Status("a.blocked.com"); !strings.Contains(s.LastError, "The CA said: ") || !strings.Contains(s.LastError, "does not certify a.blocked.com") {
		t.Errorf("status: %+v", s)
	}
	await(t, "the other name", valid(m, "a.refused.example.com"))
}

// A directory that is wrong fails with a message that names it; names that do
// not need it go on.
func TestWrongDirectory(t *testing.T) {
	t.Parallel()
	page := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		trusted bool
		want    []string
	}{
		{"not found", page(404, "text/plain", "404 page not found"), true, []string{"404", "does not look like an ACME directory"}},
		{"a web site", page(200, "text/html", "<html>Welcome to nginx!</html>"), true, []string{"text/html", "does not look like an ACME directory"}},
		{"other JSON", page(200, "application/json", `{"status":"ok"}`), true, []string{"required directory fields are missing", "does not look like an ACME directory"}},
		{"broken JSON", page(200, "application/json", `{"newNonce":`), true, []string{"JSON", "does not look like an ACME directory"}},
		{"not trusted", page(200, "application/json", `{}`), false, []string{"unknown authority", "tell Portway its root"}},
		{"nobody there", nil, true, []string{"connection refused", "cannot be reached"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(c.handler)
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			server.StartTLS()
			defer server.Close()
			log, l := newLogs(t)
			// The path is not Pebble's: the ACME client remembers directories by URL,
			// and ports of other tests come back.
			cfg := Config{Storage: t.TempDir(), Directory: server.URL + "/wrong", Logger: log}
			if c.trusted {
				cfg.Roots = filepath.Join(t.TempDir(), "roots.pem")
				write(t, cfg.Roots, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
			}
			if c.handler == nil {
				server.Close()
			}
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer run(t, m)()
			m.SetNames(plain("a.directory.example.com", "x.localhost"))
			await(t, "the failure", failed(m, "a.directory.example.com"))
			s := m.Status("a.directory.example.com")
			for _, want := range append(c.want, cfg.Directory) {
				if !strings.Contains(s.LastError, want) {
					t.Errorf("got %q, want %q in it", s.LastError, want)
				}
			}
			if s.NextTry.IsZero() {
				t.Error("no next try is planned")
			}
			if len(l.lines("level=ERROR", "name=a.directory.example.com", "next_try=")) != 1 {
				t.Error("the log does not say so once")
			}
			await(t, "the internal name", valid(m, "x.localhost"))
			if cert, err := handshake(t, m, "a.directory.example.com"); err != nil || cert.VerifyHostname("a.directory.example.com") != nil {
				t.Errorf("the temporary certificate: %v", err)
			}
		})
	}
}

// The wait that a CA asks for is in a header field, which certmagic's errors
// leave out.
func TestRetryAfterOfARealAnswer(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	answer := func(path string, status int, kind, location, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Replay-Nonce", fmt.Sprint(time.Now().UnixNano()))
			w.Header().Set("Content-Type", kind)
			if location != "" {
				w.Header().Set("Location", server.URL+location)
			}
			if status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "7200")
			}
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		})
	}
	answer("/limits", 200, "application/json", "", strings.ReplaceAll(`{"newNonce":"URL/nonce","newAccount":"URL/account","newOrder":"URL/order"}`, "URL", server.URL))
	answer("/nonce", 200, "text/plain", "", "")
	answer("/account", 201, "application/json", "/account/1", `{"status":"valid"}`)
	answer("/order", 429, "application/problem+json", "",
		`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates already issued for example.com"}`)

	log, _ := newLogs(t)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	write(t, roots, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	m, err := New(Config{Storage: t.TempDir(), Directory: server.URL + "/limits", Roots: roots, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer run(t, m)()
	m.SetNames(plain("a.retryafter.example.com"))
	await(t, "the failure", failed(m, "a.retryafter.example.com"))
	s := m.Status("a.retryafter.example.com")
	if wait := time.Until(s.NextTry); wait < 119*time.Minute || wait > 121*time.Minute {
		t.Errorf("the next try is in %v, want the 2 hours of Retry-After", wait)
	}
	if !strings.Contains(s.LastError, "The CA said: too many certificates already issued") {
		t.Errorf("got %q", s.LastError)
	}
}
