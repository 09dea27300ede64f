package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"

	"portway/internal/atomicfile"
)

// A slot holds all of an Entry that is stored, in little-endian numbers:
//
//	0 checksum of the rest   4 version      8 seq        16 ID
//	32 Host    36 Address    40 Tags        48 segment   56 place in it
//	60 bytes of the meta     64 own file    72 size      80 checksum of meta and sums
//
// It divides the size of a page, so that no write of one is ever half there after the
// process was killed. Zeros are a free one.
const (
	slotSize    = 128
	slotVersion = 1
	maxSize     = 1 << 44 // of a content
)

func appendSlot(dst []byte, e *Entry) []byte {
	from := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint32(dst, slotVersion)
	dst = le.AppendUint64(dst, e.seq)
	dst = append(dst, e.ID[:]...)
	dst = le.AppendUint32(dst, e.Hints.Host)
	dst = le.AppendUint32(dst, e.Hints.Address)
	dst = le.AppendUint64(dst, e.Hints.Tags)
	dst = le.AppendUint64(dst, e.in.number)
	dst = le.AppendUint32(dst, e.at)
	dst = le.AppendUint32(dst, e.meta)
	dst = le.AppendUint64(dst, e.body)
	dst = le.AppendUint64(dst, uint64(e.size))
	dst = le.AppendUint32(dst, e.sum)
	dst = append(dst, make([]byte, slotSize-(len(dst)-from))...)
	le.PutUint32(dst[from:], crc32.Checksum(dst[from+4:], castagnoli))
	return dst
}

// parseSlot reads one; ok is false if it is free, or damaged.
func parseSlot(b []byte) (e *Entry, segment uint64, ok bool) {
	le := binary.LittleEndian
	if le.Uint32(b[4:]) != slotVersion || le.Uint32(b) != crc32.Checksum(b[4:slotSize], castagnoli) {
		return nil, 0, false
	}
	e = &Entry{seq: le.Uint64(b[8:]), at: le.Uint32(b[56:]), meta: le.Uint32(b[60:]), body: le.Uint64(b[64:])}
	copy(e.ID[:], b[16:])
	e.Hints = Hints{Host: le.Uint32(b[32:]), Address: le.Uint32(b[36:]), Tags: le.Uint64(b[40:])}
	e.size, e.sum = int64(le.Uint64(b[72:])), le.Uint32(b[80:])
	return e, le.Uint64(b[48:]), e.size >= 0 && e.size < maxSize
}

// load finds what there is in the folder.
func (s *Store) load() error {
	if !s.believable() {
		if err := s.wipe(); err != nil {
			return err
		}
	}
	// From now on it is only to be believed as long as the machine runs; or after Close.
	if err := s.writeState(false); err != nil {
		return err
	}
	var err error
	if s.index, err = os.OpenFile(s.path("index"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	l := loading{store: s, segments: map[uint64]*segment{}, bodies: map[uint64]*Entry{}}
	if err := l.files(); err != nil {
		return err
	}
	if err := l.slots(); err != nil {
		return err
	}
	return l.tidy()
}

// loading is what is known while a folder is looked at.
type loading struct {
	store    *Store
	segments map[uint64]*segment
	bodies   map[uint64]*Entry // files with a content each; nil: nobody's so far
	highest  uint64            // number of a file that there is, or was
}

// files looks at what files there are.
func (l *loading) files() error {
	dir, err := os.Open(l.store.cfg.Folder)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		number, kind, ok := parseName(name)
		if !ok {
			continue
		}
		l.highest = max(l.highest, number)
		if kind == bodyKind {
			l.bodies[number] = nil
			continue
		}
		g, err := l.store.openSegment(number, 0)
		if err != nil {
			return err
		}
		l.segments[number] = g
	}
	return nil
}

// slots reads the index.
func (l *loading) slots() error {
	s := l.store
	block := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(s.index, block)
		for b := block[:n]; len(b) >= slotSize; b = b[slotSize:] {
			l.slot(b[:slotSize])
			s.used++
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (l *loading) slot(b []byte) {
	s := l.store
	e, number, ok := parseSlot(b)
	if !ok {
		s.free = append(s.free, s.used)
		return
	}
	s.seq, l.highest = max(s.seq, e.seq), max(l.highest, number, e.body)
	e.slot = s.used
	e.in = l.segments[number]
	if e.in == nil || int64(e.at)+e.length() > e.in.size {
		s.free = append(s.free, e.slot) // it went with its segment
		return
	}
	if e.body != 0 {
		other, there := l.bodies[e.body]
		if !there || other != nil && other.seq > e.seq {
			s.free = append(s.free, e.slot)
			return
		}
		if other != nil { // e was to replace it
			s.unlink(other)
			s.free = append(s.free, other.slot)
		} else {
			s.total.Add(e.size)
		}
		l.bodies[e.body] = e
	}
	e.in.enter(e)
	s.link(e)
}

// tidy removes what nothing refers to.
func (l *loading) tidy() error {
	s := l.store
	s.next.Store(l.highest)
	s.total.Add(int64(s.used) * slotSize)
	for number, e := range l.bodies {
		if e == nil {
			_ = os.Remove(s.path(fileName(number, bodyKind)))
		}
	}
	for _, g := range l.segments {
		if g.live == 0 {
			_ = os.Remove(g.file.Name())
			_ = g.file.Close()
			continue
		}
		s.total.Add(g.size)
		s.segments = append(s.segments, g)
	}
	sortSegments(s.segments)
	for id, e := range s.records { // slots are in no order
		if e.next != nil {
			s.records[id] = newestFirst(e)
		}
	}
	return nil
}

func newestFirst(e *Entry) *Entry {
	var all []*Entry
	for ; e != nil; e = e.next {
		all = append(all, e)
	}
	inOrder(all)
	var first *Entry
	for _, e := range all {
		e.next, first = first, e
	}
	return first
}

// Kinds of files, as their names end.
const (
	segmentKind = ".segment"
	bodyKind    = ".content"
)

func fileName(number uint64, kind string) string { return fmt.Sprintf("%016x%s", number, kind) }

func parseName(name string) (number uint64, kind string, ok bool) {
	for _, kind := range [...]string{segmentKind, bodyKind} {
		if hex, is := strings.CutSuffix(name, kind); is && len(hex) == 16 {
			n, err := strconv.ParseUint(hex, 16, 64)
			return n, kind, err == nil
		}
	}
	return 0, "", false
}

// wipe empties the folder, but for what is not ours.
func (s *Store) wipe() error {
	entries, err := os.ReadDir(s.cfg.Folder)
	if err != nil {
		return err
	}
	// First what makes the rest count for nothing.
	if err := os.Remove(s.path("index")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if _, _, ours := parseName(e.Name()); ours {
			if err := os.Remove(s.path(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// The file state says what the folder's layout is, and under which start of the
// machine it was last written to, or that all of it had reached the device.
const (
	stateFile    = "state"
	layoutBegins = "portway cache "
	layout       = layoutBegins + "1\n"
)

func (s *Store) writeState(clean bool) error {
	state := layout + bootID() + "\n"
	if clean {
		state = layout + "clean\n"
	}
	return atomicfile.Write(s.path(stateFile), []byte(state), 0o600)
}

// believable tells whether what is in the folder is what was put there.
func (s *Store) believable() bool {
	b, err := os.ReadFile(s.path(stateFile))
	if err != nil {
		return false
	}
	rest, ok := bytes.CutPrefix(b, []byte(layout))
	boot := bootID()
	return ok && (string(rest) == "clean\n" || boot != "" && string(rest) == boot+"\n")
}

// clear frees the slot of a record that is not in the index any more.
func (s *Store) clear(e *Entry) {
	s.slots.Lock()
	defer s.slots.Unlock()
	s.mu.RLock()
	written := e.in != nil
	s.mu.RUnlock()
	if !written || s.released { // after Close, the folder may be another one's
		return
	}
	if _, err := s.index.WriteAt(make([]byte, slotSize), int64(e.slot)*slotSize); err != nil {
		s.distrust(err)
		return
	}
	s.free = append(s.free, e.slot)
}

// distrust gives the folder up, since something is still in the index that should not
// be: the next start must not find it.
func (s *Store) distrust(err error) {
	s.health.give(fmt.Errorf("a record cannot be removed: %w", err))
	_ = os.Remove(s.path(stateFile))
	_ = os.Remove(s.path("index"))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.records {
		for ; e != nil; e = e.next {
			e.gone.Store(true)
		}
	}
	clear(s.records)
	s.count = 0
}
