package h2

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/http2"

	"portway/proxy/exchange"
)

// TestRefuse has error pages made elsewhere, for refused requests and for
// handlers that fail.
func TestRefuse(t *testing.T) {
	t.Parallel()
	done := make(chan error, 1)
	ts := serve(t, false, &Server{
		Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
			ex.OnDone(doneFunc(func(_ int64, err error) { done <- err }))
			ex.Response.Fields.AddString("X-Half", "made")
			ex.Response.Status, ex.Response.Body = 200, newChunks()
			panic("oops")
		}),
		Refuse: func(ex *exchange.Exchange, status int, reason string) {
			text(ex, status, fmt.Sprintf("%d: %s", status, reason))
			ex.Response.Fields.AddString("X-Page", "ours")
		},
	})
	c := ts.dial(t)
	for i, tt := range []struct {
		block []byte
		want  string
	}{
		{c.get("expect", "miracles"), "417: Expect is not 100-continue"},
		{c.get("x", strings.Repeat("y", 70_000)), "431: header fields too large or too many"},
		{c.get(), "500: internal error"},
	} {
		id := uint32(2*i + 1)
		writeBlock(c, id, true, tt.block)
		c.want(fmt.Sprintf("data %d %d end", id, len(tt.want)))
		if c.body(id) != tt.want || c.field(id, "x-page") != "ours" || c.field(id, "x-half") != "" {
			t.Errorf("got %q, want %q", c.body(id), tt.want)
		}
	}
	var pe *exchange.PanicError
	if err := <-done; !errors.As(err, &pe) {
		t.Errorf("done with %v", err)
	}
}

// TestBrokenResponses cuts responses off: the client must not take them for
// complete.
func TestBrokenResponses(t *testing.T) {
	t.Parallel()
	done := make(chan error, 1)
	broken := errors.New("origin broke")
	ts := serve(t, true, &Server{Handler: exchange.HandlerFunc(func(ex *exchange.Exchange) {
		ex.OnDone(doneFunc(func(_ int64, err error) { done <- err }))
		b := newChunks()
		b.err = broken
		ex.Response.Status, ex.Response.Length, ex.Response.Body = 200, exchange.LengthUnknown, b
		switch string(ex.Request.Path) {
		case "/short":
			b.err, ex.Response.Length = nil, 10
		case "/long":
			b.err, ex.Response.Length = nil, 4
		case "/longer":
			ex.Response.Length, ex.Response.Body = 4, drops("hello")
			return
		case "/panic":
			ex.Response.Body = panics{b}
		}
		ex.Go(func() { b.c <- "hello"; close(b.c) })
	})})
	client, url := ts.client(t)
	for _, path := range []string{"/error", "/short", "/long", "/longer", "/panic"} {
		res, err := client.Get(url + path)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		var reset http2.StreamError
		if !errors.As(err, &reset) || reset.Code != http2.ErrCodeInternal {
			t.Errorf("%s: client got %v", path, err)
		}
		if err := <-done; err == nil {
			t.Errorf("%s: done without an error", path)
		}
	}
}

// drops is a body that yields byte by byte.
func drops(s string) exchange.Body {
	return struct {
		io.Reader
		io.Closer
	}{iotest.OneByteReader(strings.NewReader(s)), io.NopCloser(nil)}
}

type panics struct{ *chunks }

func (p panics) Read(b []byte) (int, error) {
	n, err := p.chunks.Read(b)
	if err != nil {
		panic("in a body")
	}
	return n, nil
}
