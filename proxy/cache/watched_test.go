package cache

import (
	"testing"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// Those who watch the proxy learn which replica answered a fetch, whether its answer is
// stored or not, and that none did where there was no fetch.
func TestFetchTellsWhoAnswered(t *testing.T) {
	t.Parallel()
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	options := &Options{}
	if p := label.Parse("test", func(o string) string { return o }, label.Values{"cache": "true"}, options); len(p) > 0 {
		t.Fatal(p)
	}
	h := options.Wrap(c, "r", exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ex.Upstream, ex.UpstreamTime, ex.RouteName, ex.RouteID = "web-1", time.Second, "member", "m"
		ex.Response.Status, ex.Response.Length = 200, 0
		ex.Response.Fields.AddString("Cache-Control", string(ex.Request.Path[1:]))
	}))
	for _, tc := range []struct{ path, upstream, route string }{
		{"/max-age=100", "web-1", "member"},
		{"/max-age=100", "", "holder"},
		{"/private", "web-1", "member"},
	} {
		ex := exchange.Get()
		ex.Request.Method, ex.Request.Authority, ex.Request.Path = get, host, []byte(tc.path)
		ex.RouteName = "holder"
		h.Serve(ex)
		if ex.Upstream != tc.upstream || ex.RouteName != tc.route || (ex.UpstreamTime > 0) != (tc.upstream != "") {
			t.Errorf("%s: by %q of %q in %v, want %q of %q", tc.path, ex.Upstream, ex.RouteName, ex.UpstreamTime, tc.upstream, tc.route)
		}
		ex.Finish(0, nil)
		exchange.Put(ex)
	}
}
