package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/cache"
	"portway/proxy/exchange"
)

// onDisk is a configuration with a disk.
func onDisk(t testing.TB) cache.Config {
	t.Helper()
	return cache.Config{Disk: 64 << 20, Folder: filepath.Join(t.TempDir(), "cache")}
}

// serveOn is serve with a configuration.
func serveOn(t testing.TB, cfg cache.Config, origin http.HandlerFunc, options ...string) *served {
	t.Helper()
	o := httptest.NewServer(origin)
	t.Cleanup(func() {
		o.CloseClientConnections()
		o.Close()
	})
	return serveAt(t, o.Listener.Addr().String(), cfg, options...)
}

// again is a Portway with the same disk and origin, after the one before has ended.
func (s *served) again(t testing.TB, cfg cache.Config, origin http.HandlerFunc, options ...string) *served {
	t.Helper()
	s.cache.Close()
	return serveOn(t, cfg, origin, options...)
}

// A content that is too large for memory comes from the disk, to a crowd while it is
// fetched and to others after a restart: whole and in parts.
func TestLargeOnDisk(t *testing.T) {
	t.Parallel()
	content := pattern(3<<20 + 17)
	for name, known := range map[string]bool{"known length": true, "unknown length": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			origin := func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Cache-Control", "max-age=100")
				if known {
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				}
				for i := 0; i < len(content); i += 100_000 {
					_, _ = w.Write(content[i:min(i+100_000, len(content))])
					_ = http.NewResponseController(w).Flush()
				}
			}
			cfg := onDisk(t)
			s := serveOn(t, cfg, origin)
			const clients = 30
			good := s.together("/", clients, func() {}, func(resp *http.Response, b []byte, err error) bool {
				return err == nil && resp.StatusCode == http.StatusOK && bytes.Equal(b, content)
			})
			if good != clients || asked.Load() != 1 {
				t.Fatalf("%d of %d answers were right, and the origin was asked %d times", good, clients, asked.Load())
			}
			for range 2 {
				for _, part := range []string{"", "bytes=0-9", "bytes=1000000-2000000", "bytes=-40000", "bytes=32768-65535"} {
					resp, b := s.do(t, http.MethodGet, "/", "Range: "+part)
					want := content
					if part != "" {
						var from, to int
						if _, err := fmt.Sscanf(part, "bytes=%d-%d", &from, &to); err != nil {
							from, to = len(content)-40000, len(content)-1
						}
						want = content[from : to+1]
					}
					if b != string(want) || !strings.HasPrefix(resp.Header.Get("Cache-Status"), "Portway; hit") {
						t.Errorf("%q: %d bytes, want %d, %s", part, len(b), len(want), resp.Header.Get("Cache-Status"))
					}
				}
				if resp, b := s.do(t, http.MethodHead, "/"); b != "" || resp.ContentLength != int64(len(content)) {
					t.Errorf("HEAD: %v", resp)
				}
				s = s.again(t, cfg, origin)
			}
			if asked.Load() != 1 {
				t.Errorf("the origin was asked %d times", asked.Load())
			}
		})
	}
}

// A large content takes little memory while it is fetched, however slow those are who
// read it, and none of it after that.
func TestLargeTakesLittleMemory(t *testing.T) {
	const size, half = 48 << 20, 24 << 20
	block := pattern(1 << 20)
	arrived, rest := make(chan struct{}), make(chan struct{})
	cfg := onDisk(t)
	cfg.Disk = 512 << 20
	s := serveOn(t, cfg, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for i := 0; i < size; i += len(block) {
			if i == half {
				close(arrived)
				<-rest
			}
			_, _ = w.Write(block)
		}
	}, "cache.max-object: 100MiB")
	before := liveHeap()
	slow, err := s.client.Get("http://cache.test/") // and reads nothing for now
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Body.Close() }()
	<-arrived
	during := liveHeap()
	close(rest)
	if n, err := io.Copy(io.Discard, slow.Body); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if resp, b := s.do(t, http.MethodGet, "/", "Range: bytes=-5"); b != string(block[len(block)-5:]) || !strings.HasPrefix(resp.Header.Get("Cache-Status"), "Portway; hit") {
		t.Errorf("%q, %v", b, resp.Header)
	}
	after := liveHeap()
	t.Logf("FIGURE: live heap for a content of %d MiB: %.1f MiB more while it is fetched, %.1f MiB after that", size>>20, mib(during-before), mib(after-before))
	if during-before > 8<<20 || after-before > 8<<20 {
		t.Error("too much")
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// An origin that dies half-way leaves nothing, on disk as little as in memory, also
// after a restart.
func TestOriginDiesOnDisk(t *testing.T) {
	t.Parallel()
	content := pattern(2 << 20)
	for name, known := range map[string]bool{"known length": true, "unknown length": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			origin := func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "max-age=100")
				if known {
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				}
				_, _ = w.Write(content[:len(content)/2])
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			cfg := onDisk(t)
			s := serveOn(t, cfg, origin)
			bad := s.together("/", 20, func() {}, func(resp *http.Response, _ []byte, err error) bool {
				return err == nil && resp.StatusCode == http.StatusOK
			})
			if bad > 0 {
				t.Errorf("%d clients got half a content as a whole one", bad)
			}
			var asked atomic.Int64
			s = s.again(t, cfg, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Cache-Control", "max-age=100")
				_, _ = w.Write(content)
			})
			if _, b := s.do(t, http.MethodGet, "/"); b != string(content) || asked.Load() != 1 {
				t.Errorf("after a restart: %d bytes, asked %d times", len(b), asked.Load())
			}
			if files, _ := filepath.Glob(filepath.Join(cfg.Folder, "*.content")); len(files) != 1 {
				t.Errorf("left: %v", files)
			}
		})
	}
}

// What is damaged on disk is fetched anew; where its head was sent before that was
// seen, the client is cut off.
func TestDamagedOnDisk(t *testing.T) {
	t.Parallel()
	contents := map[string][]byte{"/small": pattern(1000), "/large": pattern(2 << 20), "/late": pattern(2<<20 + 1)}
	var asked atomic.Int64
	origin := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Content-Length", strconv.Itoa(len(contents[r.URL.Path])))
		_, _ = w.Write(contents[r.URL.Path])
	}
	for _, restart := range []bool{false, true} {
		cfg := onDisk(t)
		s := serveOn(t, cfg, origin)
		for path := range contents {
			s.do(t, http.MethodGet, path)
			for resp, _ := s.do(t, http.MethodHead, path); !strings.Contains(resp.Header.Get("Cache-Status"), "hit"); { // now it is all on disk
				resp, _ = s.do(t, http.MethodHead, path)
			}
		}
		if restart {
			s.cache.Close()
		}
		files, _ := filepath.Glob(filepath.Join(cfg.Folder, "*.*"))
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			at := len(b) - 1
			switch small := bytes.Index(b, contents["/small"]); {
			case len(b) == 2<<20:
				at = 100
			case strings.HasSuffix(name, ".segment") && small < 0:
				continue
			case strings.HasSuffix(name, ".segment"):
				at = small + 500
			}
			b[at] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if restart {
			s = serveOn(t, cfg, origin)
		}
		for path, want := range contents {
			before := asked.Load()
			_, b, err := s.ask(path)
			switch {
			case path == "/small" && !restart: // from memory
			case path == "/late":
				if err == nil {
					t.Errorf("%s: %d bytes, although they are damaged", path, len(b))
				}
				if _, b, err = s.ask(path); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				fallthrough
			default:
				if asked.Load() != before+1 {
					t.Errorf("%s: asked %d times", path, asked.Load()-before)
				}
			}
			if !bytes.Equal(b, want) {
				t.Errorf("%s: %d bytes, want %d", path, len(b), len(want))
			}
		}
	}
}

// A successor gets the folder when its predecessor ends, without what has changed
// meanwhile.
func TestSuccessor(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	origin := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=1000")
		w.Header().Set("Surrogate-Key", "tag"+r.URL.Path)
		_, _ = fmt.Fprint(w, version.Load())
	}
	cfg := onDisk(t)
	old := serveOn(t, cfg, origin)
	for _, path := range []string{"/kept", "/posted", "/purged"} {
		old.do(t, http.MethodGet, path)
	}
	attached := make(chan struct{})
	cfg.Logger = slog.New(&watch{Handler: slog.DiscardHandler, message: "the cache on disk is there", seen: sync.OnceFunc(func() { close(attached) })})
	s := serveOn(t, cfg, origin)
	version.Add(1)
	s.do(t, http.MethodPost, "/posted")
	if _, err := s.cache.Purge(cache.Purge{Tag: "tag/purged"}); err != nil {
		t.Fatal(err)
	}
	old.cache.Close()
	<-attached
	for path, want := range map[string]string{"/kept": "0", "/posted": "1", "/purged": "1"} {
		deadline := time.Now().Add(20 * time.Second)
		for n := 0; ; n++ { // it says so a moment before it is used
			_, b := s.do(t, http.MethodGet, path, "Cache-Control: only-if-cached")
			if path == "/kept" && b != want && time.Now().Before(deadline) {
				continue
			}
			if path != "/kept" {
				_, b = s.do(t, http.MethodGet, path)
			}
			if b != want {
				t.Errorf("%s: %q, want %q", path, b, want)
			}
			break
		}
	}
}

// watch tells when something was logged.
type watch struct {
	slog.Handler
	message string
	seen    func()
}

func (w *watch) Enabled(context.Context, slog.Level) bool { return true }

func (w *watch) Handle(_ context.Context, r slog.Record) error {
	if r.Message == w.message {
		w.seen()
	}
	return nil
}

// A folder that cannot be used is reported once, and the cache works without it.
func TestNoFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	asked := 0
	s := serveOn(t, cache.Config{Disk: 64 << 20, Folder: file, Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Cache-Control", "max-age=100")
		_, _ = w.Write(pattern(500_000))
	})
	for range 3 {
		if _, b := s.do(t, http.MethodGet, "/"); len(b) != 500_000 {
			t.Errorf("%d bytes", len(b))
		}
	}
	if asked != 1 || strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), file) {
		t.Errorf("asked %d times; logged:\n%s", asked, log.String())
	}
}

// However many addresses are asked for, memory stays within its bounds, and so does
// the disk.
func TestManyAddressesOnDisk(t *testing.T) {
	cfg := onDisk(t)
	cfg.Memory, cfg.Disk = 1<<20, 16<<20
	c, err := cache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h := wrap(t, c, exchange.HandlerFunc(func(ex *exchange.Exchange) {
		p := &ex.Response
		p.Status, p.Length, p.Body = 200, 500, exchange.BytesBody(make([]byte, 500))
		p.Fields.AddString("Cache-Control", "max-age=1000")
	}))
	before := liveHeap()
	most := int64(0)
	for i := range 50_000 {
		if ask(h, "GET", "/"+strconv.Itoa(i)).status != 200 {
			t.Fatal("no answer")
		}
		if i%10_000 == 9_999 {
			most = max(most, liveHeap()-before)
		}
	}
	t.Logf("FIGURE: live heap after 50,000 addresses with 1 MiB of memory and 16 MiB of disk: at most %.1f MiB more", mib(most))
	// 1 MiB of memory, 16 MiB of small records that wait for the disk, at most, and 4,096 in
	// its index.
	if most > 40<<20 { // without bounds, it would be more than twice as much
		t.Error("too much")
	}
	n := int64(0)
	files, err := os.ReadDir(cfg.Folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			n += info.Size()
		}
	}
	if n > cfg.Disk {
		t.Errorf("%d bytes on disk", n)
	}
}

// wrap is a cache in front of an origin.
func wrap(t testing.TB, c *cache.Cache, origin exchange.Handler) exchange.Handler {
	t.Helper()
	h, err := wrapped(c, origin)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func wrapped(c *cache.Cache, origin exchange.Handler) (exchange.Handler, error) {
	options := &cache.Options{}
	if p := label.Parse("test", func(o string) string { return o }, label.Values{"cache": "true"}, options); len(p) > 0 {
		return nil, errors.New(p[0].String())
	}
	return options.Wrap(c, "r", origin), nil
}

// got is what came of a request.
type got struct {
	status  int
	content []byte
	err     error
}

// ask sends a request to a handler.
func ask(h exchange.Handler, method, path string, fields ...string) (g got) {
	ex := exchange.Get()
	ex.Request.Method, ex.Request.Authority, ex.Request.Path = []byte(method), []byte("a.test"), []byte(path)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		ex.Request.Fields.AddString(name, value)
	}
	h.Serve(ex)
	g.status = ex.Response.Status
	if ex.Response.Body != nil {
		g.content, g.err = io.ReadAll(ex.Response.Body)
	}
	ex.Finish(int64(len(g.content)), g.err)
	exchange.Put(ex)
	return g
}
