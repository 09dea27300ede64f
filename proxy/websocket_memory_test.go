package proxy

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/wstest"
)

// Who does not read holds the sender up, at the cost of a few buffers, for as long
// as it likes; then everything arrives.
func TestWebSocketsHeldUpTakeLittleMemory(t *testing.T) { // not parallel: it measures
	if raceDetector {
		t.Skip("the race detector needs memory of its own")
	}
	const (
		sockets = 2
		size    = 32 << 20
		kernel  = 24 << 20 // what sockets' buffers may hold, which grow as the kernel likes
		each    = 2 << 20  // for a WebSocket: HTTP/2's window, buffers, this test's own
	)
	s := serveWebSockets(t)
	for _, front := range wsFronts {
		for _, up := range []bool{false, true} {
			t.Run(fmt.Sprint(front.name, ", up: ", up), func(t *testing.T) {
				before := heap()
				var writing sync.WaitGroup
				var written [sockets]atomic.Int64
				var pairs [sockets][2]*wstest.End
				for i := range sockets {
					client, origin := s.pair(t, front, wsRow{})
					pairs[i] = [2]*wstest.End{origin, client} // from, to
					if up {
						pairs[i] = [2]*wstest.End{client, origin}
					}
					writing.Go(func() {
						p := pattern{size: size}
						buf := make([]byte, 32<<10)
						for {
							n, err := p.Read(buf)
							if err == io.EOF {
								return
							}
							if _, err := pairs[i][0].Write(buf[:n]); err != nil {
								t.Error(err)
								return
							}
							written[i].Add(int64(n))
						}
					})
				}
				stuck := func() (sum int64) {
					for i := range written {
						sum += written[i].Load()
					}
					return sum
				}
				for last := int64(-1); last != stuck(); time.Sleep(300 * time.Millisecond) {
					last = stuck()
				}
				grown := heap() - before
				for i := range written {
					if n := written[i].Load(); n > kernel {
						t.Errorf("%d bytes were taken though nobody reads", n)
					}
				}
				if grown > sockets*each {
					t.Errorf("%d WebSockets take %d KiB of memory", sockets, grown>>10)
				}
				t.Logf("FIGURES WebSocket held up, %s, up %v: %d KiB of memory each, client and origin included", front.name, up, max(grown, 0)>>10/sockets)

				var reading sync.WaitGroup
				for _, p := range pairs {
					reading.Go(func() {
						if n, err := checkPattern(io.LimitReader(p[1], size)); n != size || err != nil {
							t.Errorf("%d bytes arrived, %v", n, err)
						}
						var ends sync.WaitGroup
						ends.Go(p[0].Finish)
						p[1].Finish()
						ends.Wait()
						if err := wstest.Same(p[0], p[1]); err != nil {
							t.Error(err)
						}
						_ = p[0].Close()
						_ = p[1].Close()
					})
				}
				writing.Wait()
				reading.Wait()
			})
		}
	}
}

// heap is the memory in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // pools need two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
