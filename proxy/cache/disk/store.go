// Package disk keeps records in a folder, up to a number of bytes. A record is what
// its owner wants to know about a content (the meta, in bytes of the owner's own) and
// the content itself. It is found by an ID, which several records may share.
//
// # Layout
//
// Metas, with small contents behind them, are appended to segments; a content larger
// than Small has a file of its own. One file, the index, has a slot of fixed size for
// each record, which is written last: what has no slot is not there. Removing a record
// clears its slot. To make room, the oldest segment goes, with all that is in it; what
// was used meanwhile moves to the newest one, as far as that makes room at all.
//
// # Crashes
//
// A process that is killed loses nothing that was written, since the kernel has it, and
// leaves at most bytes without a slot. So nothing is synced while it runs. What of it
// reaches the device before the machine itself stops, nobody knows, and removals count
// more than records: after a start of the machine the folder is only believed if Close
// was there before, which syncs everything. Whatever is read is held against checksums.
//
// # Stalls
//
// One goroutine writes. Whoever reads takes one of a few places, so that a device that
// hangs costs a bounded number of threads, and small records are given up that wait
// for one too long. The index is in memory: see Entry for what it takes.
package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Config is where a Store is, and what it may take.
type Config struct {
	Folder string
	Size   int64        // bytes of all files together; at least MinSize
	Logger *slog.Logger // nil: none
}

// Bounds of what can be stored.
const (
	MinSize = 4 << 20
	Small   = 256 << 10 // larger contents have files of their own
	// perRecord is what each record counts as at least, which bounds the index.
	perRecord = 4 << 10
	// maxQueue bounds the bytes of small records that wait to be written.
	maxQueue = 16 << 20
)

// Errors that callers tell apart.
var (
	ErrLocked = errors.New("another process uses the folder")
	ErrOthers = errors.New("the folder has other things in it")
	ErrGone   = errors.New("the record is not there any more")
	ErrBusy   = errors.New("the disk has no time")
	errClosed = errors.New("the store is closed")
)

// Store is a folder with records. It may be used from any goroutine.
type Store struct {
	cfg      Config
	lock     *os.File
	index    *os.File
	places   chan struct{} // one for each read under way
	splicing atomic.Int64
	health   health

	total atomic.Int64  // bytes of all files, and of what is being written
	next  atomic.Uint64 // number of the next file

	mu      sync.RWMutex // no I/O while it is held
	records map[ID]*Entry
	count   int
	seq     uint64
	queue   []job
	queued  int64
	wake    sync.Cond // signalled when queue or closed changes
	closed  bool

	// slots is held while slots are written, so that the last word on each is the
	// index's in memory, too.
	slots    sync.Mutex
	free     []uint32
	used     uint32 // slots that there are
	released bool

	writing  sync.Mutex // held while segments are appended to, or go
	segments []*segment // the oldest first; the last one is appended to
	buffer   []byte

	writer sync.WaitGroup
}

// Open takes the folder, which nobody else may use meanwhile (ErrLocked), and finds
// the records in it. A folder that has other things in it, and was never a Store, is not
// touched (ErrOthers).
func Open(cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{cfg: cfg, places: make(chan struct{}, 64), records: make(map[ID]*Entry)}
	s.health.logger = cfg.Logger
	s.wake.L = &s.mu
	if cfg.Size < MinSize {
		return nil, fmt.Errorf("%d bytes are too few: at least %d are needed", cfg.Size, MinSize)
	}
	if err := private(cfg.Folder); err != nil {
		return nil, err
	}
	var err error
	if s.lock, err = lockFile(s.path("lock")); err != nil {
		return nil, err
	}
	if err = s.load(); err != nil {
		s.release()
		return nil, err
	}
	s.writer.Go(s.write)
	return s, nil
}

func (s *Store) isClosed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closed
}

func (s *Store) path(name string) string { return filepath.Join(s.cfg.Folder, name) }

// Close writes what waits for it, has all of it reach the device, and gives the folder
// back.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.wake.Broadcast()
	s.mu.Unlock()
	s.writer.Wait()
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.health.broken()
	if err == nil {
		if err = syncFolder(s.lock); err == nil {
			err = s.writeState(true)
		}
	}
	s.release()
	return err
}

func (s *Store) release() {
	s.slots.Lock()
	defer s.slots.Unlock()
	s.released = true
	for _, g := range s.segments {
		_ = g.file.Close()
	}
	if s.index != nil {
		_ = s.index.Close()
	}
	unlockFile(s.lock)
}

// Stats is what a Store holds.
type Stats struct {
	Records int
	Bytes   int64
}

// Stats tells it.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Stats{s.count, s.total.Load()}
}

// Find lists the records with that ID, the newest first.
func (s *Store) Find(id ID) []*Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []*Entry
	for e := s.records[id]; e != nil; e = e.next {
		all = append(all, e)
	}
	return all
}

// Hide makes records be there no more, without any I/O; it gives back those that were
// there. Erase has to follow, lest they are back after a restart.
func (s *Store) Hide(entries ...*Entry) []*Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hidden []*Entry
	for _, e := range entries {
		if s.unlink(e) {
			hidden = append(hidden, e)
		}
	}
	return hidden
}

// HideAll is Hide for all records with that ID.
func (s *Store) HideAll(id ID) []*Entry { return s.Hide(s.Find(id)...) }

// Erase removes what Hide gave. When it returns, a killed process cannot bring them
// back.
func (s *Store) Erase(hidden []*Entry) {
	var bodies []*Entry
	for _, e := range hidden {
		s.clear(e)
		if e.body != 0 {
			bodies = append(bodies, e)
		}
	}
	if bodies == nil {
		return
	}
	// Removing large files takes its time.
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enqueue(job{bodies: bodies})
}

// Forget is Hide without any I/O to follow: it is done later.
func (s *Store) Forget(entries ...*Entry) {
	hidden := s.Hide(entries...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enqueue(job{erase: hidden})
}

// Drop is Hide and Erase.
func (s *Store) Drop(entries ...*Entry) { s.Erase(s.Hide(entries...)) }

// Sweep drops the records whose meta match is true of. It asks only about those of
// which may is true, whose metas it reads.
func (s *Store) Sweep(may func(h Hints) bool, match func(meta []byte) bool) (dropped int) {
	s.mu.RLock()
	var candidates []*Entry
	for _, e := range s.records {
		for ; e != nil; e = e.next {
			if may(e.Hints) {
				candidates = append(candidates, e)
			}
		}
	}
	s.mu.RUnlock()
	inOrder(candidates)
	for _, e := range candidates {
		meta, err := s.meta(e)
		if err == nil && !match(meta) || errors.Is(err, ErrGone) {
			continue
		}
		s.Drop(e) // what cannot be read is dropped, too
		dropped++
	}
	return dropped
}

// Flush waits until what was added is written.
func (s *Store) Flush() {
	done := make(chan struct{})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.enqueue(job{done: done})
	s.mu.Unlock()
	<-done
}

// place takes a place for a read; wait: however long that takes.
func (s *Store) place(wait bool) error {
	select {
	case s.places <- struct{}{}:
		return nil
	default:
	}
	if wait {
		s.places <- struct{}{}
		return nil
	}
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case s.places <- struct{}{}:
		return nil
	case <-patience.C:
		return ErrBusy
	}
}

func (s *Store) leave() { <-s.places }
