package disk

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
)

// segment is a file that records are appended to.
type segment struct {
	number uint64
	file   *os.File
	size   int64 // guarded by the store's writing, but while it is opened
	// The records in it that are still there, and the bytes of their own files; guarded by
	// the store's mu.
	live   int
	bodies int64
	first  *Entry // of their list
}

// enter and leave keep the list; they need the store's mu.
func (g *segment) enter(e *Entry) {
	e.before, e.behind = nil, g.first
	if g.first != nil {
		g.first.before = e
	}
	g.first = e
	g.live++
	g.bodies += e.large()
}

func (g *segment) leave(e *Entry) {
	if e.before != nil {
		e.before.behind = e.behind
	} else {
		g.first = e.behind
	}
	if e.behind != nil {
		e.behind.before = e.before
	}
	e.before, e.behind = nil, nil
	g.live--
	g.bodies -= e.large()
}

func sortSegments(all []*segment) {
	slices.SortFunc(all, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
}

func (s *Store) openSegment(number uint64, flags int) (*segment, error) {
	f, err := os.OpenFile(s.path(fileName(number, segmentKind)), os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &segment{number: number, file: f, size: info.Size()}, nil
}

// segmentSize is how much one segment is for, with the files of its records: so much
// goes at once to make room.
func (s *Store) segmentSize() int64 { return min(max(s.cfg.Size/64, 512<<10), 256<<20) }

// errNoRoom says that what cannot go takes all there is.
var errNoRoom = errors.New("no room is left in the cache on disk")

// reserve takes room for n more bytes of a content that has so many.
func (s *Store) reserve(n, size int64) error {
	if size+n > s.cfg.Size/8 {
		return fmt.Errorf("%d bytes are too large a part of the cache on disk", size+n)
	}
	if !s.health.well() {
		return ErrBusy
	}
	if s.total.Add(n) <= s.limit() {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.makeRoom(0); err != nil {
		s.total.Add(-n)
		return err
	}
	return nil
}

// limit leaves room for what is moved while a segment goes.
func (s *Store) limit() int64 { return s.cfg.Size - s.segmentSize() - 3*Small }

// makeRoom has old segments go until n more bytes are free, and a slot. It needs writing.
func (s *Store) makeRoom(n int64) error {
	for {
		s.mu.RLock()
		full := int64(s.count) >= s.cfg.Size/perRecord
		s.mu.RUnlock()
		if !full && s.total.Load()+n <= s.limit() {
			return nil
		}
		if err := s.evict(); err != nil {
			return err
		}
	}
}

// current gives the segment to append to.
func (s *Store) current() (*segment, error) {
	if n := len(s.segments); n > 0 {
		last := s.segments[n-1]
		s.mu.RLock()
		full := last.size+last.bodies >= s.segmentSize()
		s.mu.RUnlock()
		if !full {
			return last, nil
		}
	}
	return s.begin()
}

// begin starts a new segment, and lets those go that have nothing in them any more.
func (s *Store) begin() (*segment, error) {
	g, err := s.openSegment(s.next.Add(1), os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	for _, old := range slices.Clone(s.segments) {
		s.mu.RLock()
		empty := old.live == 0
		s.mu.RUnlock()
		if empty {
			s.remove(old)
		}
	}
	s.segments = append(s.segments, g)
	return g, nil
}

// remove takes a segment from the disk. Who reads it can go on until close.
func (s *Store) remove(g *segment) {
	s.segments = slices.DeleteFunc(s.segments, func(x *segment) bool { return x == g })
	if err := os.Remove(g.file.Name()); err == nil {
		s.total.Add(-g.size)
	}
	_ = g.file.Close()
}

// evict lets the oldest segment go. About half of it, at most, is moved to the newest one
// instead: what was used since it was written, or moved.
func (s *Store) evict() error {
	if len(s.segments) == 0 || len(s.segments) == 1 && s.segments[0].size == 0 {
		return errNoRoom
	}
	old := s.segments[0]
	if len(s.segments) == 1 {
		if _, err := s.begin(); err != nil || s.segments[0] != old {
			return err
		}
	}
	s.segments = s.segments[1:] // so that it is not touched by what follows
	s.mu.RLock()
	var all []*Entry
	for e := old.first; e != nil; e = e.behind {
		all = append(all, e)
	}
	bytes := old.size + old.bodies
	s.mu.RUnlock()
	inOrder(all)
	var out, unsure []*Entry
	moved := int64(0)
	for _, e := range all {
		if !e.inUse.Load() || moved > bytes/2 {
			out = append(out, e)
			continue
		}
		switch err := s.move(e); {
		case err == nil:
			e.inUse.Store(false)
			moved += e.length() + e.large()
		case errors.Is(err, errSlot):
			s.health.damaged(err)
			unsure = append(unsure, e)
		default:
			out = append(out, e)
		}
	}
	s.Drop(unsure...) // while the store knows of them, whatever is in their slots
	// The file goes first: what is not in the index any more cannot be removed from
	// what a next start would find.
	if err := os.Remove(old.file.Name()); err != nil {
		s.segments = slices.Insert(s.segments, 0, old)
		return err
	}
	s.total.Add(-old.size)
	out = s.Hide(out...)
	s.slots.Lock()
	for _, e := range out {
		s.free = append(s.free, e.slot)
	}
	s.slots.Unlock()
	for _, e := range out {
		if e.body != 0 {
			s.removeBody(e.body, e.size)
		}
	}
	return old.file.Close()
}

// move writes a record anew.
func (s *Store) move(e *Entry) error {
	b, _, err := s.raw(e, true)
	if err != nil {
		return err
	}
	return s.put(e, b)
}

// put appends a record and fills its slot.
func (s *Store) put(e *Entry, record []byte) error {
	g, err := s.current()
	if err != nil {
		return err
	}
	at := g.size
	s.total.Add(int64(len(record)))
	g.size += int64(len(record)) // also if that fails: nobody knows what is there then
	if _, err := g.file.WriteAt(record, at); err != nil {
		return err
	}
	s.slots.Lock()
	defer s.slots.Unlock()
	first := e.in == nil
	if first {
		e.slot = s.takeSlot()
	}
	s.mu.Lock()
	if e.gone.Load() {
		s.mu.Unlock()
		if first {
			s.free = append(s.free, e.slot)
		}
		return ErrGone
	}
	if !first {
		e.in.leave(e)
	}
	e.in, e.at, e.job = g, uint32(at), nil
	g.enter(e)
	s.mu.Unlock()
	var slot [slotSize]byte
	if _, err = s.index.WriteAt(appendSlot(slot[:0], e), int64(e.slot)*slotSize); err != nil {
		return fmt.Errorf("%w: %w", errSlot, err)
	}
	return nil
}

// errSlot says that nobody knows what is in a record's slot.
var errSlot = errors.New("the index cannot be written")

// takeSlot gives one that is free.
func (s *Store) takeSlot() uint32 {
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot
	}
	s.used++
	s.total.Add(slotSize)
	return s.used - 1
}

func (s *Store) removeBody(number uint64, size int64) {
	if os.Remove(s.path(fileName(number, bodyKind))) == nil {
		s.total.Add(-size)
	}
}

// appendRecord makes what a segment holds of an addition.
func appendRecord(dst []byte, a *addition) []byte {
	e := a.entry
	dst = append(dst, a.meta...)
	if e.body != 0 {
		dst = appendSums(dst, a.sums)
	} else {
		var sums summer
		for _, p := range a.content {
			sums.add(p)
		}
		dst = appendSums(dst, sums.sums)
	}
	e.sum = crc32.Checksum(dst, castagnoli)
	for _, p := range a.content {
		dst = append(dst, p...)
	}
	return dst
}
