package disk

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"sync/atomic"
)

// ID is what records are found by: a hash of something that tells them apart.
type ID [16]byte

// Hints are what Sweep can tell about a record without reading it: hashes of what the
// owner wants, and a set of more of them in which each sets a few bits.
type Hints struct {
	Host, Address uint32
	Tags          uint64
}

// Entry is a record in the index: some 200 bytes with all that refers to it.
type Entry struct {
	ID    ID
	Hints Hints
	Stamp uint64 // the owner's own, which is not stored
	seq   uint64 // the higher, the newer
	size  int64  // of the content

	next *Entry // with the same ID, older; guarded by the store's mu, as is what follows
	job  *addition
	in   *segment // nil: not written yet
	// Neighbours in the segment's list.
	before, behind *Entry
	at             uint32
	meta           uint32 // bytes
	sum            uint32 // of meta and sums
	slot           uint32
	body           uint64 // the number of the content's file; 0: the content is behind the sums

	gone  atomic.Bool
	inUse atomic.Bool
}

// addition is a record on its way to the disk.
type addition struct {
	entry    *Entry
	meta     []byte
	content  [][]byte // of a small one
	sums     []uint32 // of a large one
	owner    any
	replaces []*Entry
}

// Gone tells whether the record is not there any more.
func (e *Entry) Gone() bool { return e.gone.Load() }

// Newer compares two entries by when they were added.
func (e *Entry) Newer(than *Entry) bool { return e.seq > than.seq }

// Use notes that the record is worth keeping.
func (e *Entry) Use() {
	if !e.inUse.Load() { // most often: several processors read, and none writes
		e.inUse.Store(true)
	}
}

// length is how many bytes of a segment the record takes.
func (e *Entry) length() int64 {
	n := int64(e.meta) + 4*int64(chunks(e.size))
	if e.body == 0 {
		n += e.size
	}
	return n
}

// large is how many bytes its own file takes.
func (e *Entry) large() int64 {
	if e.body == 0 {
		return 0
	}
	return e.size
}

// Record is what was stored.
type Record struct {
	Meta    []byte
	Content []byte // of a small one
	File    *File  // of a large one
	Owner   any    // what was given to Add, if the record is not written yet: nothing else is set
}

// Read reads a record. ErrGone, ErrBusy, or what else happens, mean that it cannot be
// had; what is damaged is dropped.
func (s *Store) Read(e *Entry) (Record, error) {
	b, owner, err := s.raw(e, true)
	if err != nil || owner != nil {
		return Record{Owner: owner}, err
	}
	e.Use()
	r := Record{Meta: b[:e.meta:e.meta]}
	sums := decodeSums(b[e.meta:], chunks(e.size))
	if e.body != 0 {
		r.File = s.stored(e, sums)
		return r, nil
	}
	r.Content = b[len(b)-int(e.size):]
	for i := range sums {
		if crc32.Checksum(chunk(r.Content, i), castagnoli) != sums[i] {
			return Record{}, s.damaged(e, errSum)
		}
	}
	return r, nil
}

// meta reads the owner's part of a record.
func (s *Store) meta(e *Entry) ([]byte, error) {
	s.mu.RLock()
	if j := e.job; j != nil {
		s.mu.RUnlock()
		return j.meta, nil
	}
	s.mu.RUnlock()
	b, _, err := s.raw(e, false)
	if err != nil {
		return nil, err
	}
	return b[:e.meta], nil
}

// raw reads what the segment has of a record, without the content if that is not
// wanted; the content is not checked.
func (s *Store) raw(e *Entry, content bool) (b []byte, owner any, err error) {
	n := e.length()
	if !content && e.body == 0 {
		n -= e.size
	}
	if err := s.place(false); err != nil {
		return nil, nil, err
	}
	defer s.leave()
	b = make([]byte, n)
	for {
		s.mu.RLock()
		job, in, at := e.job, e.in, int64(e.at)
		s.mu.RUnlock()
		switch {
		case e.Gone():
			return nil, nil, ErrGone
		case job != nil:
			return nil, job.owner, nil
		}
		_, err := in.file.ReadAt(b, at)
		if errors.Is(err, os.ErrClosed) {
			if s.isClosed() {
				return nil, nil, errClosed
			}
			continue // its segment goes: it has moved, or is gone
		}
		if err == nil && crc32.Checksum(b[:int(e.meta)+4*chunks(e.size)], castagnoli) != e.sum {
			err = errSum
		}
		if err != nil {
			return nil, nil, s.damaged(e, err)
		}
		return b, nil, nil
	}
}

// damaged drops a record that is not what it was.
func (s *Store) damaged(e *Entry, why error) error {
	if e.Gone() {
		return ErrGone
	}
	s.Drop(e)
	s.health.damaged(why)
	return fmt.Errorf("damaged on disk: %w", why)
}

// link puts e into the index in front of older ones with its ID; unlink takes it out
// again, and tells whether it was there. The store's mu is held.
func (s *Store) link(e *Entry) {
	e.next = s.records[e.ID]
	s.records[e.ID] = e
	s.count++
}

func (s *Store) unlink(e *Entry) bool {
	if e.gone.Swap(true) {
		return false
	}
	newer := (*Entry)(nil)
	for v := s.records[e.ID]; v != e; v = v.next {
		newer = v
	}
	switch {
	case newer != nil:
		newer.next = e.next
	case e.next != nil:
		s.records[e.ID] = e.next
	default:
		delete(s.records, e.ID)
	}
	s.count--
	if e.in != nil {
		e.in.leave(e)
	}
	return true
}

// inOrder sorts entries as they lie on the disk.
func inOrder(entries []*Entry) {
	slices.SortFunc(entries, func(a, b *Entry) int { return cmp.Compare(a.seq, b.seq) })
}
