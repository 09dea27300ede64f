package cache

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// kept is what the model holds of one answer.
type kept struct {
	foo     string // of the request; "*": of any
	content string
	until   time.Time
	tag     string
}

// model is a cache as plain as can be: a list for each address, the newest first.
type model struct {
	now    time.Time
	stored map[string][]kept
	asked  int
}

// said is how the origin answers an address for the time being.
type said struct {
	version int
	control string
	seconds int
	vary    bool
	status  int
	tag     string
	size    int // of what follows the content
}

func (m *model) find(path, foo string) (kept, bool) {
	for _, k := range m.stored[path] {
		if k.foo == "*" || k.foo == foo {
			return k, true
		}
	}
	return kept{}, false
}

func (m *model) drop(path, foo string) {
	m.stored[path] = slices.DeleteFunc(m.stored[path], func(k kept) bool { return k.foo == "*" || k.foo == foo })
}

// content is what the origin answers.
func (o *said) content(path, foo string) string {
	return fmt.Sprintf("%s %d %s", path, o.version, foo) + strings.Repeat(" ", o.size)
}

// purge drops what is stored of tag.
func (m *model) purge(tag string) {
	for path := range m.stored {
		m.stored[path] = slices.DeleteFunc(m.stored[path], func(k kept) bool { return k.tag == tag })
	}
}

// get tells what a GET must give.
func (m *model) get(path, foo string, fresh bool, o said) (content string) {
	k, found := m.find(path, foo)
	if found && !fresh && k.until.After(m.now) {
		return k.content
	}
	m.asked++
	content = o.content(path, foo)
	if found && o.status < 500 { // a validation replaces or drops what it is about
		m.stored[path] = slices.DeleteFunc(m.stored[path], func(x kept) bool { return x == k })
	}
	if o.status == 200 && o.control == "max-age" {
		m.drop(path, foo)
		next := kept{"*", content, m.now.Add(time.Duration(o.seconds) * time.Second), o.tag}
		if o.vary {
			next.foo = foo
		}
		m.stored[path] = append([]kept{next}, m.stored[path]...)
	}
	return content
}

// Whatever happens in whatever order, the cache gives what the model gives, and asks
// the origin when the model does.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		checkModel(t, seed, Config{})
	}
}

// The same is true with a disk, whatever goes from memory, and over restarts.
func TestModelOnDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for seed := range uint64(40) {
		checkModel(t, seed, Config{Disk: 64 << 20, Folder: filepath.Join(folder, fmt.Sprint(seed))})
	}
}

func checkModel(t *testing.T, seed uint64, cfg Config) {
	t.Helper()
	onDisk := cfg.Disk > 0
	large := onDisk && seed%8 == 0
	r := rand.New(rand.NewPCG(seed, 7))
	m := &model{now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), stored: map[string][]kept{}}
	origin := map[string]*said{}
	asked := 0
	options := &Options{}
	if p := label.Parse("test", func(o string) string { return o }, label.Values{"cache": "true"}, options); len(p) > 0 {
		t.Fatal(p)
	}
	origins := exchange.HandlerFunc(func(ex *exchange.Exchange) {
		p, q := &ex.Response, &ex.Request
		path := string(q.Path)
		o := origin[path]
		if string(q.Method) == "POST" {
			p.Status = o.status
			return
		}
		asked++
		content := o.content(path, string(q.Fields.Get("foo")))
		p.Status, p.Length, p.Body = o.status, int64(len(content)), exchange.BytesBody([]byte(content))
		control := o.control
		if control == "max-age" {
			control = fmt.Sprintf("max-age=%d", o.seconds)
		}
		p.Fields.AddString("Cache-Control", control)
		if o.vary {
			p.Fields.AddString("Vary", "Foo")
		}
		p.Fields.AddString("Surrogate-Key", "x "+o.tag+" y")
	})
	var c *Cache
	var h exchange.Handler
	start := func() {
		var err error
		if c, err = New(cfg); err != nil {
			t.Fatal(err)
		}
		c.now = func() time.Time { return m.now }
		h = options.Wrap(c, "r", origins)
	}
	start()
	ask := func(method, path, foo string, fresh bool) string {
		ex := exchange.Get()
		q := &ex.Request
		q.Method, q.Authority, q.Path = []byte(method), []byte("a.test"), []byte(path)
		if foo != "" {
			q.Fields.AddString("Foo", foo)
		}
		if fresh {
			q.Fields.AddString("Cache-Control", "no-cache")
		}
		h.Serve(ex)
		var b []byte
		if ex.Response.Body != nil {
			b, _ = io.ReadAll(ex.Response.Body)
		}
		ex.Finish(0, nil)
		exchange.Put(ex)
		return string(b)
	}
	var history []string
	for range 300 {
		path := "/" + string(rune('a'+r.IntN(3)))
		o := origin[path]
		if o == nil || r.IntN(4) == 0 { // the origin changes its mind
			o = &said{
				version: r.IntN(1000), seconds: 1 + r.IntN(20), vary: r.IntN(2) == 0, status: 200,
				control: []string{"max-age", "max-age", "max-age", "no-store", "private"}[r.IntN(5)],
				tag:     string(rune('s' + r.IntN(3))),
			}
			if large && r.IntN(4) == 0 {
				o.size = 300_000
			}
			if r.IntN(8) == 0 {
				o.status, o.control = 503, "no-store"
			}
			origin[path] = o
		}
		foo := []string{"", "1", "2"}[r.IntN(3)]
		switch op := r.IntN(20); {
		case op < 14:
			fresh := op == 0
			history = append(history, fmt.Sprintf("GET %s foo=%q fresh=%v %+v", path, foo, fresh, *o))
			want, got := m.get(path, foo, fresh, *o), ask("GET", path, foo, fresh)
			if got != want || asked != m.asked {
				t.Fatalf("seed %d: %q, want %q; the origin was asked %d times, want %d\n%s", seed, got, want, asked, m.asked, strings.Join(history, "\n"))
			}
		case op < 15:
			history = append(history, "POST "+path)
			if ask("POST", path, foo, false); o.status < 400 {
				delete(m.stored, path)
			}
		case op < 16:
			history = append(history, "purge "+path)
			what := Purge{URL: "http://a.test" + path}
			switch r.IntN(8) {
			case 0:
				what = Purge{Prefix: "http://a.test" + path}
			case 1:
				what = Purge{All: true}
			case 2:
				what = Purge{Tag: o.tag}
			}
			if _, err := c.Purge(what); err != nil {
				t.Fatal(err)
			}
			switch {
			case what.All:
				clear(m.stored)
			case what.Tag != "":
				m.purge(o.tag)
			default:
				delete(m.stored, path)
			}
		case op < 17 && onDisk:
			history = append(history, "memory goes")
			c.memory.resources.InvalidateAll()
		case op < 18 && onDisk:
			history = append(history, "restart")
			c.Close()
			start()
		default:
			history = append(history, "time")
			m.now = m.now.Add(time.Duration(r.IntN(8)) * time.Second)
		}
	}
	c.Close()
}
