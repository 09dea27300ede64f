package cache

import (
	"io"
	"net/netip"
	"runtime"
	"testing"

	"portway/label"
	"portway/proxy/exchange"
)

// A hit costs no allocation, whatever the size of its content, and copies it once: to
// where it is written.
func TestHitAllocatesNothing(t *testing.T) {
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	options := &Options{}
	if p := label.Parse("test", func(o string) string { return o }, label.Values{"cache": "true"}, options); len(p) > 0 {
		t.Fatal(p)
	}
	content := make([]byte, 64<<10)
	asked := 0
	h := options.Wrap(c, "r", exchange.HandlerFunc(func(ex *exchange.Exchange) {
		asked++
		p := &ex.Response
		p.Status, p.Length, p.Body = 200, int64(len(content)), exchange.BytesBody(content)
		p.Fields.AddString("Cache-Control", "max-age=1000")
		p.Fields.AddString("Content-Type", "text/plain")
		p.Fields.AddString("Vary", "Accept-Encoding")
		p.Fields.AddString("ETag", `"a"`)
	}))
	buf := make([]byte, 16<<10)
	one := func() {
		ex := exchange.Get()
		q := &ex.Request
		q.Method, q.Authority, q.Path, q.HasQuery, q.Query = get, host, path, true, query
		q.Fields.AddString("Accept-Encoding", "gzip, br")
		q.Fields.AddString("X-Forwarded-Proto", "https")
		q.Fields.AddString("User-Agent", "test")
		ex.ClientIP = netip.AddrFrom4([4]byte{192, 0, 2, 1})
		h.Serve(ex)
		n := 0
		for {
			k, err := ex.Response.Body.Read(buf)
			n += k
			if err == io.EOF {
				break
			}
		}
		if n != len(content) || ex.Response.Status != 200 {
			t.Fatalf("%d, %d bytes", ex.Response.Status, n)
		}
		ex.Finish(int64(n), nil)
		exchange.Put(ex)
	}
	one()
	if n := testing.AllocsPerRun(1000, one); n >= 1 && !raced {
		t.Errorf("%v allocations for a hit", n)
	}
	if asked != 1 {
		t.Errorf("the origin was asked %d times", asked)
	}
}

var get, host, path, query = []byte("GET"), []byte("Cache.test"), []byte("/some/path"), []byte("a=b")

// What is asked for again and again stays when many others are asked for once, and all
// of it together stays within its bounds.
func TestMemoryIsBoundedAndResistsScans(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	c, err := New(Config{Memory: size})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	options := &Options{}
	if p := label.Parse("test", func(o string) string { return o }, label.Values{"cache": "true"}, options); len(p) > 0 {
		t.Fatal(p)
	}
	asked := map[string]int{}
	h := options.Wrap(c, "r", exchange.HandlerFunc(func(ex *exchange.Exchange) {
		asked[string(ex.Request.Path)]++
		p := &ex.Response
		p.Status, p.Length, p.Body = 200, 1000, exchange.BytesBody(make([]byte, 1000))
		p.Fields.AddString("Cache-Control", "max-age=1000")
	}))
	ask := func(path string) {
		ex := exchange.Get()
		ex.Request.Method, ex.Request.Authority, ex.Request.Path = get, host, []byte(path)
		h.Serve(ex)
		ex.Finish(0, nil)
		exchange.Put(ex)
	}
	for i := range 20_000 {
		ask("/" + string(rune('a'+i%26)))
		ask("/once/" + string(rune(0x100+i)))
	}
	c.memory.resources.CleanUp()
	if n := c.memory.resources.WeightedSize() * unit; n > size {
		t.Errorf("%d bytes are stored", n)
	}
	for r := 'a'; r <= 'z'; r++ {
		if n := asked["/"+string(r)]; n > 5 {
			t.Errorf("/%c was asked for %d times", r, n)
		}
	}
	if n := c.filling.Load(); n != 0 {
		t.Errorf("%d bytes are said to be on their way", n)
	}
}

// What a route has counted outlives a change of its labels, and not the route.
func TestCountsLiveWithTheirRoute(t *testing.T) {
	t.Parallel()
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h := (&Options{on: true}).Wrap(c, "r", exchange.HandlerFunc(func(*exchange.Exchange) {})).(*handler)
	h.counts.hits.Add(5)
	h = (&Options{on: true, ttl: 1}).Wrap(c, "r", h.next).(*handler)
	if n, ok := c.Counts("r"); !ok || n.Hits != 5 {
		t.Errorf("after a change: %+v %v", n, ok)
	}
	runtime.KeepAlive(h)
	runtime.GC()
	if n, ok := c.Counts("r"); ok {
		t.Errorf("the route is gone, and %+v is there", n)
	}
	if c.counters("s"); len(c.counted) != 1 {
		t.Errorf("%d routes are kept", len(c.counted))
	}
}
