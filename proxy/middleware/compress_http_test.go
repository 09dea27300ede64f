package middleware

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// serveHTTP serves a chain by net/http's server; the origin is a handler of its own.
func serveHTTP(t *testing.T, values label.Values, origin http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(exchange.FromHTTP(chain(t, values, exchange.ToHTTP(origin).Serve), time.Minute))
	t.Cleanup(s.Close)
	return s
}

// A client of somebody else's reads what comes, and events at once.
func TestCompressedEventsOverHTTP(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	s := serveHTTP(t, label.Values{"compress": "true", "compress.types": "text/*"}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	})
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if !resp.Uncompressed {
		t.Error("nothing was compressed")
	}
	lines := bufio.NewReader(resp.Body)
	for i := range 3 {
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = lines.ReadString('\n')
		next <- struct{}{} // the next one is not sent before this one has come
	}
	if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

// A response that breaks off is broken for the client as well.
func TestCompressedResponseThatBreaksOffOverHTTP(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, label.Values{"compress": "true"}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, strings.Repeat("hello ", 1000))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%d bytes look complete", len(b))
	}
}

// An upload that turns out to be too large is refused while it is sent, and the
// application never takes what it got for the whole.
func TestUploadOfUnknownLengthOverHTTP(t *testing.T) {
	t.Parallel()
	complete := make(chan bool, 1)
	s := serveHTTP(t, label.Values{"max-body": "1KiB"}, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		complete <- err == nil
		w.WriteHeader(http.StatusOK)
	})
	for size, want := range map[int]int{1 << 10: http.StatusOK, 1<<10 + 1: http.StatusRequestEntityTooLarge, 10 << 20: http.StatusRequestEntityTooLarge} {
		resp, err := http.Post(s.URL, "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("x", size)))) // no length
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if ok := <-complete; resp.StatusCode != want || ok != (want == http.StatusOK) {
			t.Errorf("%d bytes: status %d, complete for the application: %v", size, resp.StatusCode, ok)
		}
	}
}
