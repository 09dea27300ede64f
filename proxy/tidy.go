package proxy

import (
	"runtime/debug"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// tidier gives memory back to the system once the process has nothing to do. Go
// itself collects only when as much has been allocated again as was in use, or after
// two minutes, and until then the garbage of a burst (handshakes, mostly) stays, and
// so do the stacks that have grown in it.
type tidier struct {
	cpu  func() time.Duration // time that the process has computed
	free func()

	allocated [1]metrics.Sample
	seen      time.Duration // cpu at the last look
	freed     uint64        // allocated when memory was freed last
	next      time.Time
}

const (
	tidyEvery = time.Second
	// idleShare is the part of one processor below which the process counts as idle.
	idleShare = 0.02
	// garbage is how much must have been allocated to make it worth while.
	garbage = 1 << 20
	// tidyShare is the part of one processor that freeing may take in the long run.
	tidyShare = 0.005
)

func newTidier() *tidier {
	t := &tidier{cpu: processTime, free: debug.FreeOSMemory}
	t.allocated[0].Name = "/gc/heap/allocs:bytes"
	return t
}

// run looks after memory until done is closed.
func (t *tidier) run(done <-chan struct{}) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			t.look(now)
		}
	}
}

// look frees memory if it is the time for that.
func (t *tidier) look(now time.Time) {
	spent := t.cpu()
	idle := float64(spent-t.seen) < idleShare*float64(tidyEvery)
	t.seen = spent
	metrics.Read(t.allocated[:])
	if !idle || now.Before(t.next) || t.allocated[0].Value.Uint64()-t.freed < garbage {
		return
	}
	t.free()
	t.seen = t.cpu()
	metrics.Read(t.allocated[:])
	t.freed = t.allocated[0].Value.Uint64()
	t.next = now.Add(time.Duration(float64(t.seen-spent) / tidyShare))
}

// processTime is user and system time of this process; 0 where it is not to be had.
func processTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
