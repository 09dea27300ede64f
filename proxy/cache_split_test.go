package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"portway/label"
	"portway/proxy/cache"
	"portway/route"
)

// A route that shares its requests with others has a cache for its own answers only:
// nobody who is sent to the canary gets what others were told, nor the other way round.
func TestCacheOfSharedRoute(t *testing.T) {
	t.Parallel()
	keep := func(r *route.Route) *route.Route {
		o := &cache.Options{}
		if p := label.Parse("test", func(o string) string { return o }, label.Values{"cache": "true"}, o); len(p) > 0 {
			t.Fatal(p)
		}
		r.Middleware = append(r.Middleware, o)
		return r
	}
	origin := func(name string, asked *int) string {
		return originAt(t, func(w http.ResponseWriter, _ *http.Request) {
			*asked++
			w.Header().Set("Cache-Control", "max-age=100")
			_, _ = io.WriteString(w, name)
		})
	}
	var main, canary, plain int
	i := serve(t, []*route.Route{
		keep(sharing("a.test", "a", route.None, 0, origin("a", &main))),
		keep(sharing("a.test", "b", route.Canary, 25, origin("b", &canary))),
		sharing("a.test", "c", route.Canary, 25, origin("c", &plain)),
	})
	order := answers(t, i.client(t), "https://a.test/", 40)
	if got := shares(order); got != "a20 b10 c10" {
		t.Errorf("%s: %s", got, order)
	}
	if main != 1 || canary != 1 || plain != 10 {
		t.Errorf("asked %d, %d and %d times, want 1, 1 and 10; %s", main, canary, plain, strings.TrimSpace(order))
	}
}
