package discovery

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"

	"portway/route"
)

// crowd makes an engine with n labelled containers behind a socket.
func crowd(tb testing.TB, n int) (*fakeEngine, []*fakeContainer, Engine) {
	tb.Helper()
	f := newFakeEngine()
	var all []*fakeContainer
	for i := range n {
		c := newContainer(fmt.Sprintf("app-%d", i), fmt.Sprintf("portway.host=app-%d.example.com", i), "portway.port=8080",
			"com.docker.compose.project=crowd", fmt.Sprintf("com.docker.compose.service=app-%d", i), "org.opencontainers.image.title=app")
		all = append(all, c)
	}
	f.put(all...)
	return f, all, f.serve(tb)
}

// BenchmarkFirstTable is from nothing to the first table, through the client's
// HTTP and JSON, with an engine that answers at once.
func BenchmarkFirstTable(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("containers=%d", n), func(b *testing.B) {
			f, _, engine := crowd(b, n)
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				ts := start(b, Config{Engine: engine})
				ts.until("with all", func(t *route.Table) bool { return len(t.Routes()) == n })
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				ts.stop()
				b.StartTimer()
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "heap-B/container")
			b.ReportMetric(float64(f.count("inspect"))/float64(b.N), "inspections/op")
		})
	}
}

// BenchmarkEvent is from an event to the table with its change, without the
// time that is waited for more events.
func BenchmarkEvent(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("containers=%d", n), func(b *testing.B) {
			f, all, engine := crowd(b, n)
			ts := start(b, Config{Engine: engine, Quiet: time.Nanosecond})
			ts.until("with all", func(t *route.Table) bool { return len(t.Routes()) == n })
			f.count("inspect")
			i := 0
			for b.Loop() {
				c := all[i%n]
				i++
				c.networks["bridge"] = fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
				f.put(c)
				f.event(c, events.ActionStart)
				ts.until("with the change", func(t *route.Table) bool {
					for _, r := range t.Routes() {
						if r.Upstreams[0].Name == c.name {
							return r.Upstreams[0].Address == c.networks["bridge"]+":8080"
						}
					}
					return false
				})
				ts.forget()
			}
			b.ReportMetric(float64(f.count("inspect"))/float64(b.N), "inspections/op")
		})
	}
}

// BenchmarkPublish is the part of an event that cannot but grow with the number
// of routes: the table.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("containers=%d", n), func(b *testing.B) {
			_, _, engine := crowd(b, n)
			ts := start(b, Config{Engine: engine})
			ts.until("with all", func(t *route.Table) bool { return len(t.Routes()) == n })
			ts.stop()
			w := ts.w
			w.emit = func(*route.Table) {}
			b.ReportAllocs()
			for b.Loop() {
				w.dirty = true
				w.publish()
			}
		})
	}
}

// BenchmarkBundleChange is what a changed bundle costs that so many routes use, and
// the one that nobody uses beside it.
func BenchmarkBundleChange(b *testing.B) {
	for _, users := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			const n = 1000
			f, all, engine := crowd(b, n)
			for _, c := range all[:users] {
				c.labels["portway.use"] = "shared"
			}
			f.put(all...)
			define := newContainer("define", "portway.bundle.shared.tags=0")
			f.put(define)
			ts := start(b, withTags(Config{Engine: engine}))
			ts.until("with all", func(t *route.Table) bool { return len(t.Routes()) == n })
			ts.stop()
			w := ts.w
			w.emit = func(*route.Table) {}
			e := w.entries[define.id]
			i := 0
			for b.Loop() {
				i++
				s := *e.snap
				s.written = w.rules.parser.Read("define", map[string]string{"portway.bundle.shared.tags": strconv.Itoa(i)}, nil)
				w.define(e, &s)
				w.publish()
			}
		})
	}
}
