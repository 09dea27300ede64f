package budget

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"portway/internal/atomicfile"
)

// request is a change that waits for its turn.
type request struct {
	order Order
	apply func(*book, time.Time) error // which leaves the book as it was if it fails
	err   error
	done  chan struct{}
}

// change lets f change the pages that o is about, and returns once they are written, or f
// has failed. What comes while the disk is busy is written together: many names come at
// once, and mostly they are about the same pages.
func (l *Ledger) change(o Order, f func(*book, time.Time) error) error {
	r := &request{order: o, apply: f, done: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, r)
	if !l.busy {
		l.busy = true
		go l.work()
	}
	l.mu.Unlock()
	<-r.done
	return r.err
}

// work does what waits, until nothing does.
func (l *Ledger) work() {
	for {
		l.mu.Lock()
		batch := l.next()
		l.busy = len(batch) > 0
		l.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		l.do(batch)
		for _, r := range batch {
			close(r.done)
		}
	}
}

// next takes from those that wait the first, and all that go with it. The caller holds l.mu.
func (l *Ledger) next() (batch []*request) {
	var rest []*request
	for _, r := range l.waiting {
		if len(batch) == 0 || r.order.CA == batch[0].order.CA && r.order.Limits == batch[0].order.Limits {
			batch = append(batch, r)
		} else {
			rest = append(rest, r)
		}
	}
	l.waiting = rest
	return batch
}

// do makes changes that are about the same CA, one after the other, and writes them.
func (l *Ledger) do(batch []*request) {
	if err := l.together(batch); err != nil {
		for _, r := range batch {
			if r.err == nil { // else it has changed nothing
				r.err = fmt.Errorf("issuance budget: %w", err)
			}
		}
	}
}

func (l *Ledger) together(batch []*request) error {
	folder := filepath.Join(l.folder, fileName(batch[0].order.CA))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	unlock, err := atomicfile.Lock(folder)
	if err != nil {
		return err
	}
	defer unlock()
	now := l.now()
	pages := shelf{folder: folder, limits: batch[0].order.Limits, now: now}
	for _, r := range batch {
		r.err = r.apply(pages.book(r.order), now)
	}
	return pages.save(l.write)
}
