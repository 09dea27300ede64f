package cache_test

import (
	"strings"
	"testing"

	"portway/proxy/cache"
)

// Each request of a route counts once, by how it was answered.
func TestCounts(t *testing.T) {
	t.Parallel()
	origin := newScript()
	s := serve(t, origin, "cache.bypass.headers: X-Past")
	want := cache.Counts{}
	for _, c := range []struct {
		what    string
		n       *uint64
		request string // "METHOD path | field"
		answer  string // of the origin: "status | field | field"; empty: it must not be asked
	}{
		{"a miss", &want.Misses, "GET /a", "200 | Cache-Control: max-age=100"},
		{"a hit", &want.Hits, "GET /a", ""},
		{"a hit by HEAD", &want.Hits, "HEAD /a", ""},
		{"a hit that needs no content", &want.Hits, "GET /a | If-None-Match: *", ""},
		{"past it by rule", &want.Bypassed, "GET /a | X-Past: 1", "200"},
		{"past it by method", &want.Bypassed, "OPTIONS /a", "200"},
		{"a miss that is for one", &want.Misses, "GET /b", "200 | Cache-Control: private"},
		{"a miss that only caches were to answer", &want.Misses, "GET /c | Cache-Control: only-if-cached", ""},
		{"a miss by HEAD", &want.Misses, "HEAD /c", "200"},
		{"a miss that is stale at once", &want.Misses, "GET /d", `200 | Cache-Control: max-age=0, stale-if-error=100 | ETag: "a"`},
		{"validated", &want.Validated, "GET /d", `304 | ETag: "a"`},
		{"stale, since the origin fails", &want.Stale, "GET /d", "500"},
		{"stale, since the client takes it", &want.Stale, "GET /d | Cache-Control: max-stale", ""},
	} {
		request := strings.Split(c.request, " | ")
		method, path, _ := strings.Cut(request[0], " ")
		before := len(origin.requests(path))
		if c.answer != "" {
			origin.add(path, parseAnswer(t, strings.Split("<- "+c.answer, " | "), 1))
		}
		s.do(t, method, path, request[1:]...)
		if n := len(origin.requests(path)) - before; n > 1 || (n == 1) != (c.answer != "") {
			t.Fatalf("%s: the origin was asked %d times", c.what, n)
		}
		*c.n++
		if got, ok := s.cache.Counts("cached"); !ok || got != want {
			t.Errorf("%s: %+v, want %+v", c.what, got, want)
			want = got
		}
	}
	if _, ok := s.cache.Counts("other"); ok {
		t.Error("a route without a cache has counts")
	}
}
