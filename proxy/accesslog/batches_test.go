package accesslog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Where many lines come, by way of batches, none is lost, torn or written twice, and
// those of one place keep their order.
func TestBatches(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	s, err := openSink(path, 0, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.busy.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.run(ctx) }()
	const places, lines = 20, 2000
	long := strings.Repeat("x", 2*batchSize)
	var wg sync.WaitGroup
	for place := range places {
		wg.Go(func() {
			for n := range lines {
				text := fmt.Sprintf("%d %d\n", place, n)
				if n == lines/2 {
					text = long + text
				}
				s.write([]byte(text), uintptr(place))
			}
		})
	}
	wg.Wait()
	cancel()
	<-done
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var next [places]int
	for one := range strings.Lines(string(text)) {
		var place, n int
		if _, err := fmt.Sscanf(strings.TrimPrefix(one, long), "%d %d\n", &place, &n); err != nil || n != next[place] {
			t.Fatalf("%.50q after %d of its place: %v", one, next[place], err)
		}
		next[place]++
	}
	for place, n := range next {
		if n != lines {
			t.Errorf("%d lines of place %d, want %d", n, place, lines)
		}
	}
	if n := s.dropped.Load(); n > 0 {
		t.Errorf("%d lines are dropped", n)
	}
}

// A log becomes busy by itself when many lines come, and calm again.
func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{out: io.Discard, full: make(chan struct{}, 1), reopen: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		go s.run(ctx)
		line := make([]byte, 1<<10)
		for _, busy := range []bool{false, true, true, false} {
			n := 1
			if busy {
				n = busyAt/len(line) + 1
			}
			for range n {
				s.write(line, 1)
			}
			time.Sleep(flushAfter)
			synctest.Wait()
			if s.busy.Load() != busy {
				t.Errorf("after %d lines in a second: busy is %v", n, !busy)
			}
		}
		cancel()
	})
}

// Times are written as Go's own package writes them, in whatever order they come.
func TestTimes(t *testing.T) {
	t.Parallel()
	s := &seconds{layout: "2006-01-02T15:04:05"}
	base := time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC)
	for _, after := range []time.Duration{0, 1, 10, 123456789, 100 * time.Millisecond, time.Second, time.Second + 5000, -time.Hour, 2 * time.Second, time.Second} {
		at := base.Add(after)
		got := string(append(appendFraction(s.append(nil, at), at.Nanosecond()), 'Z'))
		if want := at.Format(time.RFC3339Nano); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestNeedsEscape(t *testing.T) {
	t.Parallel()
	for n := range 20 {
		for at := range n {
			for c := range 256 {
				value := []byte(strings.Repeat("a", n))
				value[at] = byte(c)
				if want := c < ' ' || c == '"' || c == '\\' || c >= 0x7f; needsEscape(value) != want {
					t.Fatalf("%q: %v", value, !want)
				}
			}
		}
	}
}
