package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/route"
)

func (w *wire) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	resp, err := w.client(t).Get("http://app.example.com" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// deadAddress is one where nobody listens.
func deadAddress() string {
	s := httptest.NewServer(nil)
	s.Close()
	return s.Listener.Addr().String()
}

// What Portway itself says of an origin that cannot be reached is replaced like the
// origin's own errors, and an edited page is shown soon, without a new table.
func TestErrorPageForDeadOrigin(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "5xx.html")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("out of order {status}")
	w := startWire(t)
	w.server.SetTable(route.NewTable([]*route.Route{
		w.route(t, map[string]string{"portway.host": "app.example.com", "portway.error-pages": folder}, deadAddress()),
	}, nil))
	resp, text := w.get(t, "/")
	if resp.StatusCode != http.StatusBadGateway || text != "out of order 502" || resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s: %s", resp.Status, text)
	}
	write("another page")
	for deadline := time.Now().Add(10 * time.Second); text != "another page"; _, text = w.get(t, "/") {
		if time.Now().After(deadline) {
			t.Fatalf("the old page is still shown: %s", text)
		}
		time.Sleep(50 * time.Millisecond)
	}
	// A page that has become too large, or a folder that is gone, leaves what there was.
	write(strings.Repeat("x", 1<<20+1))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, text = w.get(t, "/"); strings.HasPrefix(text, "502 Site not reachable\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("shown: %.100s", text)
		}
	}
	if log := w.logged(); !strings.Contains(log, "error-pages: ") || !strings.Contains(log, "larger than 1 MiB") {
		t.Errorf("the log says:\n%s", log)
	}
}

// A service that has no page to give, whatever the reason, changes nothing, and the log
// says why.
func TestErrorPageServiceThatFails(t *testing.T) {
	t.Parallel()
	large := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, strings.Repeat("x", 2<<20))
	}))
	defer large.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(rw, "half of it")
	}))
	defer broken.Close()
	w := startWire(t)
	for address, why := range map[string]string{
		"http://" + deadAddress() + "/{status}": "connection refused",
		large.URL:                               "larger than 1 MiB",
		broken.URL:                              "unexpected EOF",
	} {
		w.serve(t, map[string]string{"portway.error-pages": address}, "500\n\nthe application's own", "app.example.com")
		resp, text := w.get(t, "/")
		if resp.StatusCode != http.StatusInternalServerError || text != "the application's own" {
			t.Errorf("%s: %s: %s", address, resp.Status, text)
		}
		if log := w.logged(); !strings.Contains(log, "error-pages: ") || !strings.Contains(log, why) {
			t.Errorf("%s: the log says:\n%s", address, log)
		}
	}
}
