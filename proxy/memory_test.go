package proxy

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"portway/route"
)

// block is what large content repeats. Its length is a prime, so that no buffer's
// length divides it and a piece at the wrong place shows.
var block = func() []byte {
	b := make([]byte, 65521)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return b
}()

// pattern yields size bytes of repeated blocks.
type pattern struct{ at, size int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at >= p.size {
		return 0, io.EOF
	}
	n := copy(b[:min(int64(len(b)), p.size-p.at)], block[p.at%int64(len(block)):])
	p.at += int64(n)
	return n, nil
}

// checkPattern reads all of r and tells if it is not repeated blocks.
func checkPattern(r io.Reader) (n int64, err error) {
	buf := make([]byte, 64<<10)
	for {
		m, err := r.Read(buf)
		for got := buf[:m]; len(got) > 0; {
			want := block[n%int64(len(block)):]
			want = want[:min(len(want), len(got))]
			if !bytes.Equal(got[:len(want)], want) {
				return n, fmt.Errorf("wrong bytes at %d", n)
			}
			got = got[len(want):]
			n += int64(len(want))
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Large bodies go through in both directions, unchanged, with and without a
// length, in memory that does not grow with them: the whole process, client and
// origin included, stays below a small part of what it moves.
func TestLargeBodiesTakeLittleMemory(t *testing.T) { // not parallel: it measures
	o := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, err := checkPattern(r.Body)
			_, _ = fmt.Fprintf(w, "%d %v", n, err)
			return
		}
		if r.URL.RawQuery == "length" {
			w.Header().Set("Content-Length", fmt.Sprint(large))
		}
		_, _ = io.Copy(w, &pattern{size: large})
	}
	i := serve(t, []*route.Route{
		at("a.test", originAt(t, o)),
		with(at("h2c.test", originH2C(t, o)), func(r *route.Route) { r.Upstreams[0].Scheme = route.H2C }),
	})
	for _, c := range []struct {
		name   string
		client *http.Client
		url    string
	}{
		{"HTTP/1.1", i.client(t, onlyHTTP1), "http://a.test/"},
		{"HTTP/2 to h2c", i.client(t), "https://h2c.test/"},
	} {
		before, stop := peakHeap()
		resp, err := c.client.Get(c.url + "?length")
		if err != nil {
			t.Fatal(err)
		}
		n, err := checkPattern(resp.Body)
		_ = resp.Body.Close()
		if n != large || err != nil {
			t.Errorf("%s: download: %d, %v", c.name, n, err)
		}
		resp, err = c.client.Post(c.url, "x/y", io.MultiReader(&pattern{size: large}))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(b) != fmt.Sprintf("%d %v", large, nil) {
			t.Errorf("%s: upload: the origin says %s", c.name, b)
		}
		peak := stop()
		const limit = 24 << 20
		t.Logf("%s: heap in use %d KiB before, %d KiB at most", c.name, before>>10, peak>>10)
		if peak > before+limit {
			t.Errorf("%s: the heap grew by %d KiB, more than %d", c.name, (peak-before)>>10, limit>>10)
		}
	}
}

// peakHeap watches the heap until stop is called.
func peakHeap() (before uint64, stop func() (peak uint64)) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before = m.HeapInuse
	done := make(chan struct{})
	var wg sync.WaitGroup
	var peak uint64
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var m runtime.MemStats
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
		}
	})
	return before, func() uint64 {
		close(done)
		wg.Wait()
		return peak
	}
}
