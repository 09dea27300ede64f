package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
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
