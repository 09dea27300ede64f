package budget

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/atomicfile"
)

// Orders that come while the disk is busy are written together, each is counted, and one that
// has to wait takes nothing.
func TestManyAtOnceAreWrittenTogether(t *testing.T) {
	t.Parallel()
	l := New(t.TempDir())
	var writes atomic.Int32
	entered, full := make(chan struct{}, 4), make(chan struct{})
	l.write = func(path string, data []byte, perm fs.FileMode) error {
		entered <- struct{}{}
		<-full
		writes.Add(1)
		return atomicfile.Write(path, data, perm)
	}
	limits := Limits{Certificates: Rate{Burst: 50, Per: 24 * time.Hour}, Orders: Rate{Burst: 1000, Per: time.Hour}}
	var g sync.WaitGroup
	var begun, waiting atomic.Int32
	begin := func(i int) {
		err := l.Begin(Order{CA: "ca", Limits: limits, Names: []string{fmt.Sprintf("n%d.example.com", i)}})
		wait := (*Wait)(nil)
		switch {
		case err == nil:
			begun.Add(1)
		case errors.As(err, &wait):
			waiting.Add(1)
		default:
			t.Error(err)
		}
	}
	g.Go(func() { begin(0) })
	<-entered
	for i := range 79 {
		g.Go(func() { begin(i + 1) })
	}
	queued := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.waiting)
	}
	for queued() < 79 { // all of them come; nothing tells when
		time.Sleep(time.Millisecond)
	}
	close(full)
	g.Wait()
	if begun.Load() != 50 || waiting.Load() != 30 {
		t.Errorf("%d begun and %d waiting, want 50 and 30", begun.Load(), waiting.Load())
	}
	if n := writes.Load(); n != 4 {
		t.Errorf("%d files written, want two for the first order, and two for all others", n)
	}
	p := read(filepath.Join(l.folder, fileName("ca")), "example.com", limits, time.Now())
	if p.Orders != 50 {
		t.Errorf("%d orders are written down, want 50", p.Orders)
	}
}

// A disk that fails fails all that it was to hold, and the next ones try again.
func TestFailedWriteFailsAll(t *testing.T) {
	t.Parallel()
	l := New(t.TempDir())
	broken := errors.New("disk full")
	fail := true
	l.write = func(path string, data []byte, perm fs.FileMode) error {
		if fail {
			return broken
		}
		return atomicfile.Write(path, data, perm)
	}
	o := Order{CA: "ca", Limits: Limits{Certificates: Rate{Burst: 1, Per: time.Hour}}, Names: []string{"a.example.com"}}
	if err := l.Begin(o); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	fail = false
	if err := l.Begin(o); err != nil {
		t.Errorf("what was not written down was counted: %v", err)
	}
}
