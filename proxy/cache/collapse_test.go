package cache_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pattern is content of which each byte depends on its place.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// ask is one client of a crowd.
func (s *served) ask(path string) (resp *http.Response, content []byte, err error) {
	if resp, err = s.client.Get("http://cache.test" + path); err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err = io.ReadAll(resp.Body)
	return resp, content, err
}

// together has n clients ask at once, and counts those of which good is true. Once all
// have sent their requests, release is called.
func (s *served) together(path string, n int, release func(), good func(resp *http.Response, content []byte, err error) bool) int {
	var wait sync.WaitGroup
	var well atomic.Int64
	for range n {
		wait.Go(func() {
			if good(s.ask(path)) {
				well.Add(1)
			}
		})
	}
	release()
	wait.Wait()
	return int(well.Load())
}

// A crowd that asks for what is not stored yet costs the origin one request.
func TestOneRequestForACrowd(t *testing.T) {
	t.Parallel()
	content := pattern(200_000)
	for name, known := range map[string]bool{"known length": true, "unknown length": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Cache-Control", "max-age=100")
				if known {
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				}
				for i := 0; i < len(content); i += 10_000 { // so that clients come at all stages
					_, _ = w.Write(content[i : i+10_000])
					_ = http.NewResponseController(w).Flush()
				}
			}))
			good := s.together("/", crowd, func() {}, func(resp *http.Response, b []byte, err error) bool {
				return err == nil && resp.StatusCode == http.StatusOK && bytes.Equal(b, content)
			})
			if good != crowd || asked.Load() != 1 {
				t.Errorf("%d of %d answers were right, and the origin was asked %d times", good, crowd, asked.Load())
			}
		})
	}
}

// The crowd waits while the origin has not answered at all.
func TestCrowdBeforeTheHead(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	answer, gotIt := make(chan struct{}), make(chan struct{}, 10)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		gotIt <- struct{}{}
		<-answer
		w.Header().Set("Cache-Control", "max-age=100")
		_, _ = io.WriteString(w, "hello")
	}))
	good := s.together("/", crowd, func() {
		<-gotIt
		close(answer)
	}, func(_ *http.Response, b []byte, err error) bool { return err == nil && string(b) == "hello" })
	if good != crowd || asked.Load() != 1 {
		t.Errorf("%d of %d answers were right, and the origin was asked %d times", good, crowd, asked.Load())
	}
	if n, _ := s.cache.Counts("cached"); n.Misses != 1 || n.Collapsed+n.Hits != crowd-1 {
		t.Errorf("%d clients count as %+v", crowd, n)
	}
	t.Logf("FIGURE: %d clients on one cold key: %d right, %d request(s) to the origin", crowd, good, asked.Load())
}

// An origin that dies half-way: nobody takes what there is for complete, nothing of it
// is stored, and the next request starts anew.
func TestOriginDiesForACrowd(t *testing.T) {
	t.Parallel()
	content := pattern(200_000)
	var asked atomic.Int64
	for name, known := range map[string]bool{"known length": true, "unknown length": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var healthy atomic.Bool
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Cache-Control", "max-age=100")
				if known {
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				}
				if healthy.Load() {
					_, _ = w.Write(content)
					return
				}
				_, _ = w.Write(content[:100_000])
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}))
			bad := s.together("/", crowd, func() {}, func(resp *http.Response, _ []byte, err error) bool {
				return err == nil && resp.StatusCode == http.StatusOK
			})
			if bad > 0 {
				t.Errorf("%d clients got half a content as a whole one", bad)
			}
			healthy.Store(true)
			if resp, b, err := s.ask("/"); err != nil || !bytes.Equal(b, content) {
				t.Errorf("afterwards: %v, %v, %d bytes", resp, err, len(b))
			}
			t.Logf("FIGURE: %d clients while the origin dies half-way: %d took what there was for complete", crowd, bad)
		})
	}
}

// A client that takes nothing, and one that goes away, hold nobody back, and do not end
// the fetch.
func TestSlowAndGone(t *testing.T) {
	t.Parallel()
	content := pattern(8 << 20) // more than sockets take
	var asked atomic.Int64
	half, rest := make(chan struct{}), make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=100")
		_, _ = w.Write(content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		close(half)
		<-rest
		_, _ = w.Write(content[len(content)/2:])
	}))
	ctx, leave := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cache.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := s.client.Do(r) // the one that the fetch was made for
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gone.Body.Close() }()
	slow, err := s.client.Get("http://cache.test/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Body.Close() }()
	<-half
	leave()
	close(rest)
	if _, b, err := s.ask("/"); err != nil || !bytes.Equal(b, content) {
		t.Errorf("beside the slow one: %v, %d bytes", err, len(b))
	}
	if b, err := io.ReadAll(slow.Body); err != nil || !bytes.Equal(b, content) {
		t.Errorf("the slow one: %v, %d bytes", err, len(b))
	}
	if resp, b, err := s.ask("/"); err != nil || !bytes.Equal(b, content) || !strings.HasPrefix(resp.Header.Get("Cache-Status"), "Portway; hit") {
		t.Errorf("afterwards: %v, %d bytes, %v", err, len(b), resp.Header)
	}
	if asked.Load() != 1 {
		t.Errorf("the origin was asked %d times", asked.Load())
	}
}

// What turns out to be too large is passed on to those who read it already, however
// slow, without being kept.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	content := pattern(4 << 20)
	for name, known := range map[string]bool{"known length": true, "unknown length": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Cache-Control", "max-age=100")
				if known {
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				}
				_, _ = w.Write(content)
			}), "cache.max-object: 1MiB")
			good := s.together("/", 20, func() {}, func(_ *http.Response, b []byte, err error) bool {
				return err == nil && bytes.Equal(b, content)
			})
			if good != 20 {
				t.Errorf("%d of 20 were right", good)
			}
			before := asked.Load()
			if _, b, err := s.ask("/"); err != nil || !bytes.Equal(b, content) || asked.Load() == before {
				t.Errorf("afterwards: %v, %d bytes, asked %d times before and %d after", err, len(b), before, asked.Load())
			}
		})
	}
}

// What is not for all is not waited for in turn: each gets its own answer at once.
func TestCrowdForPrivate(t *testing.T) {
	t.Parallel()
	var asked, inside atomic.Int64
	both := make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "private")
		if asked.Add(1) > 1 && inside.Add(1) == 9 { // the others come all at once
			close(both)
		} else if asked.Load() > 1 {
			<-both
		}
		_, _ = io.WriteString(w, "for one")
	}))
	good := s.together("/", 10, func() {}, func(_ *http.Response, b []byte, err error) bool { return err == nil && string(b) == "for one" })
	if good != 10 || asked.Load() != 10 {
		t.Errorf("%d of 10 were right, asked %d times", good, asked.Load())
	}
}

// A stale answer is given at once where that is allowed, while one request validates
// it.
func TestStaleWhileRevalidate(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	answer, done := make(chan struct{}), make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		if asked.Add(1) == 1 {
			w.Header().Set("Cache-Control", "max-age=10, stale-while-revalidate=100")
			w.Header().Set("Age", "20")
			_, _ = io.WriteString(w, "old")
			return
		}
		<-answer
		if r.Header.Get("If-None-Match") != `"a"` {
			t.Errorf("validation without a condition: %v", r.Header)
		}
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("ETag", `"b"`)
		_, _ = io.WriteString(w, "new")
		close(done)
	}))
	for i := range 20 {
		if _, b, err := s.ask("/"); err != nil || string(b) != "old" {
			t.Fatalf("request %d: %q, %v", i, b, err)
		}
	}
	close(answer)
	<-done
	deadline := time.Now().Add(10 * time.Second)
	for {
		resp, b, err := s.ask("/")
		if err != nil {
			t.Fatal(err)
		}
		if string(b) == "new" && resp.Header.Get("ETag") == `"b"` {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %q", b)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("the origin was asked %d times", asked.Load())
	}
}

// What a change makes outdated is not stored even if it was on its way before.
func TestChangeDuringFetch(t *testing.T) {
	t.Parallel()
	var gets atomic.Int64
	began, changed := make(chan struct{}), make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			return
		}
		w.Header().Set("Cache-Control", "max-age=100")
		if gets.Add(1) == 1 {
			_, _ = io.WriteString(w, "ol")
			_ = http.NewResponseController(w).Flush()
			close(began)
			<-changed
			_, _ = io.WriteString(w, "d")
			return
		}
		_, _ = io.WriteString(w, "new")
	}))
	first := make(chan string, 1)
	go func() {
		_, b, _ := s.ask("/")
		first <- string(b)
	}()
	<-began
	if resp, _ := s.do(t, http.MethodPost, "/"); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	close(changed)
	if b := <-first; b != "old" {
		t.Errorf("the one before got %q", b)
	}
	if _, b, err := s.ask("/"); err != nil || string(b) != "new" {
		t.Errorf("the one after got %q, %v", b, err)
	}
}
