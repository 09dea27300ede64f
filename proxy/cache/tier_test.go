package cache

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/cache/disk"
	"portway/proxy/cache/policy"
	"portway/proxy/exchange"
)

// sample is an object with all there is to an object.
func sample() *object {
	o := &object{
		status: 404, length: unknown, content: newContent(), received: time.Unix(1_700_000_000, 123), aged: 3 * time.Second,
		extra: []byte("x-forwarded-proto:https\n"), vary: []string{"accept", "foo"}, values: []byte("a\nb\n"),
	}
	o.fields.AddString("Cache-Control", `max-age=60, no-cache="Foo", stale-if-error=5`)
	o.fields.AddString("Surrogate-Key", "a b")
	o.fields.AddString("Empty", "")
	o.content.trailers.AddString("Sum", "1")
	o.control = policy.ParseResponse(&o.fields)
	o.fresh = policy.Freshness{Lifetime: time.Minute, Explicit: true, InitialAge: 2 * time.Second}
	o.tags = tagsOf(&o.fields)
	return o
}

// What is written down of an object is all of it.
func TestCodec(t *testing.T) {
	t.Parallel()
	o := sample()
	for i := range reflect.ValueOf(o.fresh).NumField() {
		if reflect.ValueOf(o.fresh).Field(i).IsZero() {
			t.Errorf("the sample has no %s", reflect.TypeOf(o.fresh).Field(i).Name)
		}
	}
	b, ok := encode("r\na.test\n/", o)
	if !ok {
		t.Fatal("not encoded")
	}
	got, ok := decode(b, "r\na.test\n/")
	if !ok {
		t.Fatal("not decoded")
	}
	if !got.received.Equal(o.received) {
		t.Error(got.received)
	}
	got.received = o.received
	if !reflect.DeepEqual(got, o) {
		t.Errorf("got  %+v\nwant %+v", got, o)
	}
	if _, ok := decode(b, "r\na.test\n/other"); ok {
		t.Error("taken for another address")
	}
	o.control.MaxAge = time.Hour // as if what says so were not stored
	if _, ok := encode("k", o); ok {
		t.Error("encoded although it would not come back")
	}
}

// Whatever is on the disk, reading it does no harm, and what can be read is what would
// be written.
func FuzzDecode(f *testing.F) {
	b, _ := encode("r\na.test\n/", sample())
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte{codecVersion})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		key, o, ok := parse(b)
		if !ok {
			return
		}
		again, ok := encode(key, o)
		if !ok {
			t.Fatal("not encoded")
		}
		if k, p, ok := parse(again); !ok || k != key || !reflect.DeepEqual(o, p) {
			t.Errorf("%+v, %+v", o, p)
		}
	})
}

// What was stored while the clock was ahead is not fresh until that time comes, but asked
// for anew.
func TestClockThatWasAhead(t *testing.T) {
	t.Parallel()
	for ahead, want := range map[time.Duration]int{24 * time.Hour: 2, 30 * time.Second: 1} {
		c, err := New(Config{Disk: 64 << 20, Folder: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		options := &Options{}
		if p := label.Parse("test", func(o string) string { return o }, label.Values{"cache": "true"}, options); len(p) > 0 {
			t.Fatal(p)
		}
		asked := 0
		h := options.Wrap(c, "r", exchange.HandlerFunc(func(ex *exchange.Exchange) {
			asked++
			ex.Response.Status, ex.Response.Length = 200, 0
			ex.Response.Fields.AddString("Cache-Control", "max-age=1000")
		}))
		now := time.Now()
		for _, at := range []time.Time{now.Add(ahead), now} {
			c.now = func() time.Time { return at }
			ex := exchange.Get()
			ex.Request.Method, ex.Request.Authority, ex.Request.Path = get, host, path
			h.Serve(ex)
			ex.Finish(0, nil)
			exchange.Put(ex)
			c.disk.store.Load().Flush()
			c.memory.resources.InvalidateAll() // as a restart does
		}
		if asked != want {
			t.Errorf("a clock that was %v ahead: the origin was asked %d times, want %d", ahead, asked, want)
		}
		c.Close()
	}
}

// While what has become outdated is removed from a folder that another process had, requests
// do not wait for the disk; and what changes meanwhile does not come back either.
func TestRequestsDoNotWaitForAttach(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	open := func(h slog.Handler) *disk.Store {
		s, err := disk.Open(disk.Config{Folder: folder, Size: 64 << 20, Logger: slog.New(h)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(slog.DiscardHandler)
	for _, name := range []string{"one", "two"} {
		a := &disk.Addition{ID: idOf(name), Meta: []byte(name), Content: [][]byte{[]byte("content")}}
		s.Add(a, a.Prepare(), false)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.segment"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	damaged, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], make([]byte, len(damaged)), 0o600); err != nil {
		t.Fatal(err)
	}
	tr := &tier{cache: &Cache{}} // too much has changed
	asked := 0
	s = open(&during{slog.DiscardHandler, func() { // the first damage is told while the folder is emptied
		asked++
		answered := make(chan struct{})
		go func() { defer close(answered); tr.use(idOf("two")) }()
		select {
		case <-answered:
		case <-time.After(time.Minute):
			t.Error("a request waits for the disk")
		}
	}})
	defer func() { _ = s.Close() }()
	tr.attach(s)
	if n := s.Stats().Records; asked != 1 || n != 0 || tr.store.Load() != s {
		t.Errorf("asked %d times; %d records are left; attached: %v", asked, n, tr.store.Load() == s)
	}
}

// during calls f for each warning.
type during struct {
	slog.Handler
	f func()
}

func (d *during) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (d *during) Handle(context.Context, slog.Record) error {
	d.f()
	return nil
}

// A hit in memory costs no allocation with a disk either, whether its content is in
// memory or on the disk.
func TestHitOnDiskAllocatesNothing(t *testing.T) {
	c, err := New(Config{Disk: 64 << 20, Folder: t.TempDir()})
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
	}))
	buf := make([]byte, 16<<10)
	one := func() {
		ex := exchange.Get()
		q := &ex.Request
		q.Method, q.Authority, q.Path = get, host, path
		ex.ClientIP = netip.AddrFrom4([4]byte{192, 0, 2, 1})
		h.Serve(ex)
		n := 0
		for err := error(nil); err == nil; {
			var k int
			k, err = ex.Response.Body.Read(buf)
			n += k
		}
		if n != len(content) {
			t.Fatalf("%d bytes", n)
		}
		ex.Finish(int64(n), nil)
		exchange.Put(ex)
	}
	one()
	c.memory.resources.InvalidateAll()
	one() // from the disk
	if n := testing.AllocsPerRun(1000, one); n >= 1 && !raced {
		t.Errorf("%v allocations for a hit", n)
	}
	if asked != 1 {
		t.Errorf("the origin was asked %d times", asked)
	}
	if !bytes.Equal(content, make([]byte, len(content))) {
		t.Error("changed")
	}
}
