package upstream

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"time"
)

// maxGathered is how much is gathered before writers wait.
const maxGathered = 256 << 10

// gather is a connection beneath x/net's client, which flushes after each head and
// each piece of a body. Here they are written by a goroutine that first lets those
// run who are about to send, so that frames of several streams leave together.
//
// An error shows with the next Write, and closes the connection, so that the
// reading side sees it at once.
type gather struct {
	net.Conn
	limit time.Duration // for one byte to be taken; 0: none

	mu     sync.Mutex
	room   sync.Cond
	buf    *[]byte // nil: nothing is gathered
	active bool    // somebody writes
	err    error
}

var gathers = sync.Pool{New: func() any {
	b := make([]byte, 0, 8<<10)
	return &b
}}

func newGather(nc net.Conn, limit time.Duration) *gather {
	g := &gather{Conn: nc, limit: limit}
	g.room.L = &g.mu
	return g
}

// Write has p written soon.
func (g *gather) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.err == nil && g.buf != nil && len(*g.buf) >= maxGathered {
		g.room.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	if g.buf == nil {
		g.buf = gathers.Get().(*[]byte)
	}
	*g.buf = append(*g.buf, p...)
	if !g.active {
		g.active = true
		go g.flush()
	}
	return len(p), nil
}

// flush writes until there is nothing.
func (g *gather) flush() {
	runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.buf != nil && g.err == nil {
		b := g.buf
		g.buf = nil
		g.room.Broadcast()
		g.mu.Unlock()
		err := g.write(*b)
		if cap(*b) <= 64<<10 {
			*b = (*b)[:0]
			gathers.Put(b)
		}
		g.mu.Lock()
		g.fail(err)
	}
	g.active = false
}

// write writes all of p, and gives up when nothing is taken for too long.
func (g *gather) write(p []byte) error {
	for {
		if g.limit > 0 {
			_ = g.SetWriteDeadline(time.Now().Add(g.limit)) // fails only with the connection
		}
		n, err := g.Conn.Write(p)
		var timeout net.Error
		if p = p[n:]; n == 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
			return err
		}
	}
}

// fail notes the first error; g.mu is held.
func (g *gather) fail(err error) {
	if err == nil || g.err != nil {
		return
	}
	g.err = err
	g.room.Broadcast()
	_ = g.Conn.Close()
}

// Close closes the connection, and ends Writes that wait.
func (g *gather) Close() error {
	err := g.Conn.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail(net.ErrClosed)
	return err
}
