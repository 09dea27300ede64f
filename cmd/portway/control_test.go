package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/admin"
	"portway/route"
)

// socketPath gives a path short enough for a unix socket (107 bytes).
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "run", "control.sock")
}

func serveAdmin(t *testing.T, path string, h http.Handler) {
	t.Helper()
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serveControl(ctx, l, h, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("control socket: %v", err)
		}
	})
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	server := admin.New(admin.Config{})
	serveAdmin(t, path, server)
	check := func() error { return health(path) }
	if err := check(); err == nil || !strings.HasPrefix(err.Error(), "starting:") {
		t.Errorf("before the first table: %v", err)
	}
	server.SetTable(route.NewTable(nil, nil))
	if err := check(); err != nil {
		t.Errorf("with a table: %v", err)
	}
	server.Draining()
	if err := check(); err == nil || !strings.HasPrefix(err.Error(), "shutting down:") {
		t.Errorf("while draining: %v", err)
	}
}

// Only the user that serves may ask: the status names internal addresses.
func TestControlSocketIsPrivate(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", name, info.Mode().Perm(), want, err)
		}
	}
}

// After kill -9 the socket is still there; a start must not fail for it. That
// of a Portway which lives must not be taken over.
func TestControlSocketThatIsThere(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	left, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = left.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the socket was not left behind: %v", err)
	}
	serveAdmin(t, path, admin.New(admin.Config{}))
	if l, err := listenControl(path); err == nil {
		_ = l.Close()
		t.Error("the socket of a living Portway was taken over")
	} else if !strings.Contains(err.Error(), "another Portway answers") {
		t.Error(err)
	}
}

// A Portway that hangs must not hang its health check with it.
func TestAskGivesUp(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // accepts, and never answers
	began := time.Now()
	if _, _, err := ask(path, "/healthz"); err == nil || time.Since(began) > 2*controlTimeout {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	serveAdmin(t, path, admin.New(admin.Config{Root: func() (admin.Root, error) { return admin.Root{PEM: "PEM", Path: "/data/root.crt"}, nil }}))
	var root admin.Root
	if err := askJSON(path, "/v1/ca", &root); err != nil || root.PEM != "PEM" || root.Path != "/data/root.crt" {
		t.Errorf("%+v, %v", root, err)
	}
}

// Content that is announced and does not come holds no connection: not of who has no token,
// nor where nobody reads it.
func TestContentThatDoesNotCome(t *testing.T) {
	t.Parallel()
	unread := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for what, h := range map[string]http.Handler{
		"without a token": admin.ByToken("a token", unread),
		"unread":          limitContent(unread, 10*time.Millisecond),
		"read": limitContent(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		}), 10*time.Millisecond),
	} {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(conn, "POST /v1/purge HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
		answer, err := io.ReadAll(conn) // until it is closed
		if errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
			t.Errorf("%s: %q, %v", what, answer, err)
		}
		if what == "without a token" && !strings.HasPrefix(string(answer), "HTTP/1.1 401 ") {
			t.Errorf("%s: %q", what, answer)
		}
	}
}

// An answer may take longer than its question.
func TestContentThatCame(t *testing.T) {
	t.Parallel()
	const limit = 50 * time.Millisecond
	s := httptest.NewServer(limitContent(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return // a slow machine
		}
		select {
		case <-time.After(2 * limit):
		case <-r.Context().Done():
			http.Error(w, "cut off", http.StatusInternalServerError)
		}
	}), limit))
	t.Cleanup(s.Close)
	resp, err := http.Post(s.URL, "text/plain", strings.NewReader("all of it"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}
