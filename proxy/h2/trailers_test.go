package h2

import (
	"io"
	"testing"

	"portway/proxy/exchange"
)

// TestRequestTrailers drops what must be known before the content, and what an
// origin would believe that merges trailers into the head.
func TestRequestTrailers(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	ts := serve(t, false, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		if _, err := io.ReadAll(ex.Request.Body); err != nil {
			t.Error(err)
		}
		var all string
		for name, value := range ex.Request.Trailers.All() {
			all += string(name) + "=" + string(value) + " "
		}
		got <- all
		ex.Response.Status = 204
	})})
	c := ts.dial(t)
	c.headers(1, false, c.post())
	c.must(c.fr.WriteData(1, false, []byte("x")))
	c.headers(1, true, c.encode("x-sum", "7", "x-forwarded-for", "127.0.0.1", "range", "bytes=0-", "grpc-status", "0"))
	if all := <-got; all != "x-sum=7 grpc-status=0 " {
		t.Errorf("trailers %s", all)
	}
}
