package accesslog

import "sync"

// batches collect lines where many come, so that processors that write them at the same
// time do not wait for each other's memory at each line, but once for some fifty.
type batches [8]batch

// batchSize is small enough that a processor has it near at hand.
const batchSize = 16 << 10

type batch struct {
	mu    sync.Mutex
	lines []byte
	_     [64]byte // neighbours are used at the same time
}

// at chooses a batch. The same place leads to the same one.
func (all *batches) at(place uintptr) *batch { return &all[place%uintptr(len(all))] }

// add takes a line.
func (b *batch) add(line []byte, s *sink) {
	b.mu.Lock()
	if len(b.lines)+len(line) > batchSize {
		s.take(b.lines)
		b.lines = b.lines[:0]
	}
	if b.lines == nil {
		b.lines = make([]byte, 0, batchSize)
	}
	if len(line) > batchSize {
		s.take(line)
	} else {
		b.lines = append(b.lines, line...)
	}
	b.mu.Unlock()
}

// empty gives all lines to s.
func (all *batches) empty(s *sink) {
	for i := range all {
		b := &all[i]
		b.mu.Lock()
		if len(b.lines) > 0 {
			s.take(b.lines)
			b.lines = b.lines[:0]
		} else {
			b.lines = nil // not needed for a while
		}
		b.mu.Unlock()
	}
}
