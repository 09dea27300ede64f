package upstream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// tally counts writes.
type tally struct {
	net.Conn
	mu     sync.Mutex
	writes int
	closed int
}

func (c *tally) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *tally) Close() error {
	c.mu.Lock()
	c.closed++
	c.mu.Unlock()
	return c.Conn.Close()
}

func (c *tally) counts() (writes, closed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes, c.closed
}

func TestGatherWritesTogetherInOrder(t *testing.T) {
	near, far := net.Pipe() // takes nothing before it is read
	c := &tally{Conn: near}
	g := newGather(c, 0)
	var want []byte
	for i := range 1000 {
		p := bytes.Repeat([]byte{byte(i)}, 1+i%300)
		want = append(want, p...)
		if n, err := g.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("other bytes came out, or fewer: %v", err)
	}
	if writes, _ := c.counts(); writes > 10 {
		t.Errorf("%d writes for what came together", writes)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, err := g.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

// fill writes until it has to wait, and returns what ends that.
func fill(g *gather) error {
	for {
		if _, err := g.Write(make([]byte, 64<<10)); err != nil {
			return err
		}
	}
}

func TestGatherGivesUp(t *testing.T) {
	t.Parallel()
	near, _ := net.Pipe()
	c := &tally{Conn: near}
	if err := fill(newGather(c, 20*time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an origin that reads nothing: %v", err)
	}
	if _, closed := c.counts(); closed != 1 {
		t.Error("the reading side does not learn of it")
	}

	// One that reads slowly is waited for.
	near, far := net.Pipe()
	g := newGather(near, 200*time.Millisecond)
	const size = 40
	if _, err := g.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	for range size {
		time.Sleep(10 * time.Millisecond) // together longer than the limit
		if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGatherCloseEndsWrites(t *testing.T) {
	t.Parallel()
	near, _ := net.Pipe()
	g := newGather(near, 0)
	ended := make(chan error)
	go func() { ended <- fill(g) }()
	for full := false; !full; runtime.Gosched() {
		g.mu.Lock()
		full = g.buf != nil && len(*g.buf) >= maxGathered
		g.mu.Unlock()
	}
	_ = g.Close()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}
