package disk

import (
	"errors"
	"math"
)

// job is something for the goroutine that writes.
type job struct {
	add    *addition
	erase  []*Entry      // hidden ones, whose slots are to be cleared
	bodies []*Entry      // whose files are to be removed
	done   chan struct{} // to be closed
}

// Addition is a record that is to be stored.
type Addition struct {
	ID    ID
	Hints Hints
	Stamp uint64
	Meta  []byte
	// Content of a small record, which is not changed any more, or File of a large one.
	Content [][]byte
	File    *File
	// Owner is what Read gives as long as the record is not written.
	Owner any
	// Replaces are records in whose place this one is; it may have the same File.
	Replaces []*Entry
}

// Prepare makes the entry of an addition, which Add then puts into the index.
func (a *Addition) Prepare() *Entry {
	e := &Entry{ID: a.ID, Hints: a.Hints, Stamp: a.Stamp, meta: uint32(min(len(a.Meta), math.MaxUint32))}
	for _, p := range a.Content {
		e.size += int64(len(p))
	}
	if a.File != nil {
		e.body, e.size = a.File.number, a.File.Size()
	}
	e.job = &addition{entry: e, meta: a.Meta, content: a.Content, owner: a.Owner, replaces: a.Replaces}
	return e
}

// Add puts e, which a.Prepare has made, into the index, and takes those out that it
// replaces. There is no I/O: it is written later. It returns false, with e gone, if it
// will not be; those it replaces are gone in any case. With only, nothing happens unless
// all of those are still there.
func (s *Store) Add(a *Addition, e *Entry, only bool) bool {
	large := a.File != nil
	well := s.health.well()
	if large {
		a.File.Complete()
		a.File.mu.Lock()
		e.job.sums = a.File.sums.sums
		a.File.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if only {
		for _, r := range a.Replaces {
			if r.Gone() {
				e.gone.Store(true)
				return false
			}
		}
	}
	var hidden []*Entry
	for _, r := range a.Replaces {
		if s.unlink(r) {
			hidden = append(hidden, r)
		}
	}
	e.job.replaces = hidden
	n := e.job.waits()
	if s.closed || !well || !large && (s.queued+n > maxQueue || e.size > Small) || len(a.Meta) > Small {
		e.gone.Store(true)
		j := job{erase: hidden}
		if large {
			j.bodies = []*Entry{e}
		}
		s.enqueue(j)
		return false
	}
	s.seq++
	e.seq = s.seq
	if large {
		a.File.entry.Store(e)
	} else {
		s.queued += n
	}
	s.link(e)
	s.enqueue(job{add: e.job})
	return true
}

// enqueue gives the writer something to do. It needs mu.
func (s *Store) enqueue(j job) {
	s.queue = append(s.queue, j)
	s.wake.Signal()
}

// write does what is in the queue until the store is closed.
func (s *Store) write() {
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.closed {
			s.wake.Wait()
		}
		jobs := s.queue
		s.queue = nil
		s.mu.Unlock()
		if len(jobs) == 0 {
			return
		}
		for i := range jobs {
			s.do(&jobs[i])
			jobs[i] = job{}
		}
	}
}

func (s *Store) do(j *job) {
	if j.add != nil {
		s.add(j.add)
	}
	for _, e := range j.erase {
		s.clear(e)
		if e.body != 0 {
			s.removeBody(e.body, e.size)
		}
	}
	for _, e := range j.bodies {
		s.removeBody(e.body, e.size)
	}
	if j.done != nil {
		close(j.done)
	}
}

// waits is about how much memory a small record takes while it waits, with what its
// owner has of it.
func (a *addition) waits() int64 { return int64(len(a.meta)) + a.entry.size + 1<<10 }

// add writes a record.
func (s *Store) add(a *addition) {
	e := a.entry
	if e.body == 0 {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.queued -= a.waits()
		}()
	}
	err := s.append(a)
	if !errors.Is(err, ErrGone) && !errors.Is(err, errNoRoom) {
		s.health.wrote(err)
	}
	if err != nil {
		s.Drop(e)
	}
	for _, r := range a.replaces {
		s.clear(r)
		if r.body != 0 && r.body != e.body {
			s.removeBody(r.body, r.size)
		}
	}
}

func (s *Store) append(a *addition) error {
	if a.entry.Gone() {
		return ErrGone
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.buffer = appendRecord(s.buffer[:0], a)
	if err := s.makeRoom(int64(len(s.buffer))); err != nil {
		return err
	}
	return s.put(a.entry, s.buffer)
}
