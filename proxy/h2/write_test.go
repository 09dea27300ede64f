package h2

import (
	"net"
	"testing"

	"portway/proxy/exchange"
)

// busyConn has more queued during each of its first writes.
type busyConn struct {
	net.Conn
	c      *conn
	writes int
}

func (b *busyConn) Write(p []byte) (int, error) {
	if b.writes++; b.writes < 5*maxRounds {
		b.c.mu.Lock()
		out := b.c.queue()
		out.b = appendPing(out.b, false, make([]byte, 8))
		b.c.mu.Unlock()
	}
	return len(p), nil
}

// TestFlushIsHandedOn shows that who writes for others does not do so for ever,
// and that everything is written all the same.
func TestFlushIsHandedOn(t *testing.T) {
	t.Parallel()
	b := new(busyConn)
	c := newConn(&Server{}, b, &exchange.Conn{})
	b.c = c
	c.mu.Lock()
	out := c.queue()
	out.b = appendPing(out.b, false, make([]byte, 8))
	if !c.claim() || c.claim() {
		t.Fatal("not claimed exactly once")
	}
	c.mu.Unlock()
	c.flush(true)
	if b.writes > maxRounds {
		t.Errorf("wrote %d times", b.writes)
	}
	waitFor(t, "the rest", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !c.flushing && c.tasks == 0
	})
	if b.writes != 5*maxRounds || c.queued() != 0 {
		t.Errorf("%d writes, %d bytes left", b.writes, c.queued())
	}
}
