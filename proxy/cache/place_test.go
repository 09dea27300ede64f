package cache_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"portway/proxy/cache"
)

const (
	users    = "basic-auth: me:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=, you:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="
	password = "Authorization: Basic bWU6c2VjcmV0"     // me:secret
	another  = "Authorization: Basic eW91OnNlY3JldA==" // you:secret
)

// Answers from the cache pass all that is about one visitor: passwords, fields,
// compression. What belongs to one visitor is not kept for another.
func TestPlace(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("hello ", 1000)
	asked := 0
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, r.URL.Path+r.Header.Get("X-User")+" "+text)
	}),
		users,
		"response-headers: X-Seen: {client_ip}", "compress: true", "strip-prefix: /app")
	if resp, _ := s.do(t, http.MethodGet, "/app/a", password); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	for _, encoding := range []string{"identity", "gzip", "identity"} {
		resp, b := s.do(t, http.MethodGet, "/app/a", password, "Accept-Encoding: "+encoding)
		if !strings.Contains(resp.Header.Get("Cache-Status"), "hit") || resp.Header.Get("X-Seen") != "127.0.0.1" || len(resp.Header.Values("X-Seen")) != 1 {
			t.Errorf("%s: %v", encoding, resp.Header)
		}
		if zipped := resp.Header.Get("Content-Encoding") == "gzip"; zipped != (encoding == "gzip") || !zipped && b != "/a "+text {
			t.Errorf("%s: %v %.20q", encoding, resp.Header, b)
		}
	}
	if resp, _ := s.do(t, http.MethodGet, "/app/a"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a password: %s", resp.Status)
	}
	if n, err := s.cache.Purge(cache.Purge{URL: "http://cache.test/app/a"}); n != 1 || err != nil {
		t.Errorf("by the address that people know: %d, %v", n, err)
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// Where Portway tells the application who the visitor is, the answer is for that one.
func TestIdentified(t *testing.T) {
	t.Parallel()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100"+strings.TrimPrefix(r.URL.RawQuery, "x"))
		_, _ = io.WriteString(w, r.Header.Get("X-User"))
	}), users, "basic-auth.user-header: X-User")
	for _, c := range []struct{ target, first, second string }{
		{"/?x", "me", "you"},
		{"/?x,public", "me", "me"},
	} {
		_, first := s.do(t, http.MethodGet, c.target, password)
		_, second := s.do(t, http.MethodGet, c.target, another)
		if first != c.first || second != c.second {
			t.Errorf("%s: %q, and then %q", c.target, first, second)
		}
	}
}
