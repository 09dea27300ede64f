package accesslog

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/observe"
)

// request is an exchange that is over; edit may change it.
func request(edit func(*observe.Event)) observe.Event {
	ex := exchange.Get()
	q := &ex.Request
	q.Method, q.Path, q.Query, q.HasQuery = []byte("GET"), []byte("/a b"), []byte("q=1&Token=abc&code=7&%74oken=x"), true
	q.Authority = []byte("app.example.com")
	q.Fields.AddString("User-Agent", "curl/8 \"x\"\n\xff")
	q.Fields.AddString("Referer", "https://me:pw@other.example/x?sig=1&a=b")
	q.Fields.AddString("Authorization", "Basic abc")
	q.Fields.AddString("X-Tenant", "acme")
	ex.Response.Status = 200
	ex.ClientIP = netip.MustParseAddr("192.0.2.1")
	ex.Start = time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	ex.Conn = &exchange.Conn{Protocol: exchange.HTTP11}
	ex.RouteName, ex.Upstream, ex.UpstreamTime = "blog/web", "blog-web-1", 1500*time.Microsecond
	e := observe.Event{Exchange: ex, Sent: 512, Duration: 12345 * time.Microsecond}
	if edit != nil {
		edit(&e)
	}
	return e
}

// start makes a log in a new folder, and gives what ends it and yields its lines.
func start(t *testing.T, cfg Config) (l *Log, end func() string) {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "access.log")
	}
	if cfg.Format == "" {
		cfg.Format = JSON
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	return l, func() string {
		t.Helper()
		cancel()
		<-done
		text, err := os.ReadFile(cfg.Path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[Format]string{
		Common:   `192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /a b?q=1&Token=REDACTED&code=REDACTED&%74oken=REDACTED HTTP/1.1" 200 512`,
		Combined: `192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /a b?q=1&Token=REDACTED&code=REDACTED&%74oken=REDACTED HTTP/1.1" 200 512 "https://other.example/x?sig=REDACTED&a=b" "curl/8 \"x\"\x0a\xff"`,
		Logfmt:   `time=2026-01-02T03:04:05.006Z request_id=ID client=192.0.2.1 method=GET host=app.example.com path="/a b" query="q=1&Token=REDACTED&code=REDACTED&%74oken=REDACTED" protocol=HTTP/1.1 status=200 sent=512 duration_ms=12.345 route=blog/web upstream=blog-web-1 upstream_ms=1.500 user_agent="curl/8 \"x\"\n�"`,
	} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			l, end := start(t, Config{Format: format, Sample: 1})
			e := request(nil)
			l.End(e)
			got := strings.Replace(end(), e.Exchange.RequestID(), "ID", 1)
			if got != want+"\n" {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	all := append(Fields(), "header:X-Tenant", "header:Authorization", "header:X-None")
	l, end := start(t, Config{Sample: 1, Fields: all})
	l.End(request(func(e *observe.Event) {
		e.Err = errors.New("broken off")
		e.Exchange.Response.Fields.AddString("Cache-Status", "Portway; hit")
	}))
	var got map[string]any
	if err := json.Unmarshal([]byte(end()), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"client": "192.0.2.1", "path": "/a b", "status": 200.0, "duration_ms": 12.345, "user_agent": "curl/8 \"x\"\n�", "cache": "Portway; hit",
		"header:X-Tenant": "acme", "header:Authorization": "REDACTED", "error": "broken off", "referer": "https://other.example/x?sig=REDACTED&a=b",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	for _, name := range []string{"header:X-None", "tls", "traceparent"} {
		if v, there := got[name]; there {
			t.Errorf("%s is there: %v", name, v)
		}
	}
}

func TestMoreIsRedacted(t *testing.T) {
	t.Parallel()
	l, end := start(t, Config{Sample: 1, Redact: []string{"Q", "x-tenant"}, Fields: []string{"query", "header:X-Tenant", "header:Referer"}})
	l.End(request(nil))
	if got := end(); strings.Contains(got, "acme") || strings.Contains(got, "q=1") || !strings.Contains(got, "?sig=REDACTED") {
		t.Errorf("secrets are there: %s", got)
	}
}

func TestWrongConfig(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{Format: "xml"},
		{Format: JSON, Fields: []string{"colour"}},
		{Format: JSON, Fields: []string{"header:"}},
		{Format: Common, Fields: []string{"path"}},
		{Format: JSON, Path: "/nowhere/access.log"},
	} {
		if cfg.Path == "" {
			cfg.Path = filepath.Join(t.TempDir(), "log")
		}
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// Of a hundred thousand good answers, about one percent is written, but every failure.
func TestSample(t *testing.T) {
	t.Parallel()
	l, end := start(t, Config{Sample: 0.01, Fields: []string{"status"}})
	good, bad := request(nil), request(func(e *observe.Event) { e.Exchange.Response.Status = 502 })
	const n = 100_000
	for range n {
		l.End(good)
	}
	for range 50 {
		l.End(bad)
	}
	text := end()
	if g := strings.Count(text, "200"); g < n/200 || g > n/50 {
		t.Errorf("%d of %d are written", g, n)
	}
	if b := strings.Count(text, "502"); b != 50 {
		t.Errorf("%d of 50 failures are written", b)
	}
}

// Files are put aside at their size, no line is lost or torn, and old ones go.
func TestRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	l, end := start(t, Config{Path: path, Sample: 1, Fields: []string{"path", "status"}, Rotate: 4000, Keep: 2})
	e := request(nil)
	for range 10 {
		for range 40 {
			l.End(e)
		}
		l.sink.full <- struct{}{} // a full buffer
		for waiting := true; waiting; {
			l.sink.mu.Lock()
			waiting = len(l.sink.waiting) > 0
			l.sink.mu.Unlock()
		}
	}
	end()
	files, _ := filepath.Glob(path + "*")
	if len(files) != 3 {
		t.Errorf("files: %v", files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || len(text) == 0 || len(text) > 4000 || !strings.HasSuffix(string(text), "}\n") || !strings.HasPrefix(string(text), "{") {
			t.Errorf("%s: %d bytes, %v", file, len(text), err)
		}
	}
}

// A file that cannot be put aside goes on, and that is told once, not at every write.
func TestRotationFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	s, err := openSink(path, 20, 1, slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		s.put([]byte("a line of the log\n"))
	}
	if err := os.RemoveAll(path + ".1"); err != nil {
		t.Fatal(err)
	}
	s.put([]byte("in the new file\n"))
	_ = s.file.Close()
	if n := strings.Count(told.String(), "cannot be put aside"); n != 1 {
		t.Errorf("told %d times:\n%s", n, told.String())
	}
	old, _ := os.ReadFile(path + ".1")
	if text, err := os.ReadFile(path); err != nil || string(text) != "in the new file\n" || strings.Count(string(old), "\n") != 5 {
		t.Errorf("%q, %v; aside %q", text, err, old)
	}
}

// What rotates logs renames the file, and asks for a new one.
func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	l, end := start(t, Config{Path: path, Sample: 1, Fields: []string{"status"}})
	l.End(request(nil))
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	for {
		if _, err := os.Stat(path); err == nil {
			break
		}
		time.Sleep(time.Millisecond) // the file system tells nobody
	}
	l.End(request(nil))
	if text := end(); text != "{\"status\":200}\n" {
		t.Errorf("the new file has %q", text)
	}
	if old, _ := os.ReadFile(path + ".old"); string(old) != "{\"status\":200}\n" {
		t.Errorf("the old file has %q", old)
	}
}

// A sink that takes nothing costs lines, which are counted, and no request waits.
func TestSlowSink(t *testing.T) {
	t.Parallel()
	l, err := New(Config{Path: filepath.Join(t.TempDir(), "log"), Format: JSON, Sample: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e := request(nil)
	const n = 20_000 // more than fits; nobody writes
	for range n {
		l.End(e)
	}
	if l.Dropped() == 0 || len(l.sink.waiting) > maxWaiting {
		t.Errorf("%d dropped, %d bytes wait", l.Dropped(), len(l.sink.waiting))
	}
	written := uint64(strings.Count(string(l.sink.waiting), "\n"))
	if written+l.Dropped() != n {
		t.Errorf("%d written, %d dropped, of %d", written, l.Dropped(), n)
	}
}

// A pipe that nobody reads does not hold up the end of the process; what is lost is counted.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told strings.Builder
		l, err := New(Config{Path: "stdout", Format: JSON, Sample: 1, Logger: slog.New(slog.NewTextHandler(&told, nil))})
		if err != nil {
			t.Fatal(err)
		}
		reader, writer := io.Pipe()
		l.sink.out = writer
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = l.Run(ctx) }()
		l.End(request(nil))
		l.End(request(nil))
		time.Sleep(2 * flushAfter) // two lines are being written
		l.End(request(nil))
		cancel()
		<-done // for ever, if Run waits for the pipe
		if l.Dropped() != 3 || !strings.Contains(told.String(), "lines=3") {
			t.Errorf("%d dropped, told %s", l.Dropped(), told.String())
		}
		_ = reader.Close() // ends what still writes
	})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	l, end := start(t, Config{Sample: 1, Fields: []string{"path", "status"}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			e := request(nil)
			for range 500 {
				l.End(e)
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(end(), "\n"), "\n")
	if len(lines) != 4000 {
		t.Errorf("%d lines", len(lines))
	}
	for _, one := range lines {
		if one != `{"path":"/a b","status":200}` {
			t.Fatalf("a line is %s", one)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("/", "a=b&token=c", "curl")
	f.Add("/\x00\"\\", "%=&&=", "\xff\n")
	columns, err := columnsOf(Default(), nil)
	if err != nil {
		f.Fatal(err)
	}
	format := structured(columns, true)
	f.Fuzz(func(t *testing.T, path, query, agent string) {
		e := request(nil)
		q := &e.Exchange.Request
		q.Path, q.Query = []byte(path), []byte(query)
		q.Fields.SetString("user-agent", agent)
		b := format(nil, e)
		if !json.Valid(b) || strings.ContainsAny(string(b), "\n\r") {
			t.Errorf("not a line of JSON: %q", b)
		}
	})
}

func TestAllocations(t *testing.T) {
	l, err := New(Config{Path: os.DevNull, Format: JSON, Sample: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e := request(func(e *observe.Event) {
		e.Exchange.Request.Fields.SetString("user-agent", "Mozilla/5.0 (X11)")
		e.Exchange.Request.Path = []byte("/index.html")
	})
	l.End(e)
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	if n := testing.AllocsPerRun(100, func() { l.sink.waiting = l.sink.waiting[:0]; l.End(e) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkEnd(b *testing.B) {
	l, err := New(Config{Path: os.DevNull, Format: JSON, Sample: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	e := request(func(e *observe.Event) {
		e.Exchange.Request.Fields.SetString("user-agent", "Mozilla/5.0 (X11)")
		e.Exchange.Request.Path = []byte("/index.html")
	})
	b.ReportAllocs()
	for b.Loop() {
		l.sink.waiting = l.sink.waiting[:0]
		l.End(e)
	}
}
