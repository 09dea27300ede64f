package accesslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	flushAfter = time.Second // how long a line may wait for others
	// Or until so many bytes are there. Each write is longer than the runtime's monitor thread
	// lets a system call hold a processor; with 64 KiB, it hardly slept at some
	// 20,000 requests per second, which cost as much as to make the lines.
	flushAt    = 512 << 10
	maxWaiting = 4 << 20   // bytes that wait for a slow sink
	busyAt     = 256 << 10 // bytes in flushAfter, from which on lines come by way of batches
	lastWrites = 2 * time.Second
)

// sink is the file behind a log, and what is to be written to it.
type sink struct {
	path   string
	rotate int64
	keep   int
	log    *slog.Logger

	mu      sync.Mutex
	waiting []byte
	writing []byte        // what is being written
	full    chan struct{} // there is enough to be written
	busy    atomic.Bool   // lines come by way of batches
	batches batches
	reopen  chan struct{}
	dropped atomic.Uint64

	// Of run alone.
	out   io.Writer
	file  *os.File // nil: stdout or stderr, which are not ours
	size  int64
	spare []byte // becomes waiting while the other is written
	ill   bool   // the last write failed
	stuck bool   // the file is too large, or gone, and cannot be replaced
}

func openSink(path string, rotate int64, keep int, log *slog.Logger) (*sink, error) {
	s := &sink{path: path, rotate: rotate, keep: keep, log: log, full: make(chan struct{}, 1), reopen: make(chan struct{}, 1)}
	switch path {
	case "stdout":
		s.out = os.Stdout
	case "stderr":
		s.out = os.Stderr
	default:
		if err := s.open(); err != nil {
			return nil, fmt.Errorf("the access log cannot be written: %w", err)
		}
	}
	return s, nil
}

func (s *sink) open() error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.out, s.file, s.size = f, f, info.Size()
	return nil
}

// write takes a line, or drops it. It does not wait for the file. Lines with the same
// place come in order; others may be exchanged within a second, where many come.
func (s *sink) write(line []byte, place uintptr) {
	if s.busy.Load() {
		s.batches.at(place).add(line, s)
		return
	}
	s.take(line)
}

// take takes lines, or drops them.
func (s *sink) take(lines []byte) {
	s.mu.Lock()
	before := len(s.waiting)
	if before+len(lines) > maxWaiting {
		s.mu.Unlock()
		s.dropped.Add(uint64(countLines(lines)))
		return
	}
	s.waiting = append(s.waiting, lines...)
	enough := before < flushAt && len(s.waiting) >= flushAt
	s.mu.Unlock()
	if enough {
		select {
		case s.full <- struct{}{}:
		default: // it is told already
		}
	}
}

func (s *sink) askReopen() {
	select {
	case s.reopen <- struct{}{}:
	default: // it is asked for already
	}
}

func (s *sink) run(ctx context.Context) {
	tick := time.NewTicker(flushAfter)
	defer tick.Stop()
	written := 0 // since the last tick
	for ctx.Err() == nil {
		select {
		case <-s.full:
		case <-tick.C:
			written += s.flush()
			s.busy.Store(written > busyAt)
			written = 0
		case <-s.reopen:
			s.flush()
			s.renew()
		case <-ctx.Done():
		}
		written += s.flush()
	}
	s.busy.Store(false)
	s.flush()
	if s.file != nil {
		_ = s.file.Close() // all was written, or told
	}
}

// flush writes what waits, and tells how much it was.
func (s *sink) flush() int {
	s.batches.empty(s)
	s.mu.Lock()
	lines := s.waiting
	s.waiting, s.spare = s.spare[:0], nil
	s.writing = lines
	s.mu.Unlock()
	if len(lines) > 0 {
		s.put(lines)
	}
	s.mu.Lock()
	s.writing = nil
	s.mu.Unlock()
	if c := cap(lines); c <= 2*flushAt && len(lines) > c/8 { // what a burst took goes back
		s.spare = lines[:0]
	}
	return len(lines)
}

// giveUp counts what will not be written.
func (s *sink) giveUp() {
	s.batches.empty(s)
	s.mu.Lock()
	lost := countLines(s.waiting) + countLines(s.writing)
	s.mu.Unlock()
	s.dropped.Add(uint64(lost))
	s.log.Warn("the access log takes nothing any more; its last lines are dropped", "path", s.path, "lines", lost, "fix", "see whether somebody reads it")
}

func (s *sink) put(lines []byte) {
	if s.file != nil && s.rotate > 0 && s.size > 0 && s.size+int64(len(lines)) > s.rotate {
		s.putAside()
	}
	n, err := s.out.Write(lines)
	s.size += int64(n)
	if err != nil {
		s.dropped.Add(uint64(countLines(lines[n:])))
		if !s.ill {
			s.log.Error("the access log cannot be written; lines are dropped", "path", s.path, "error", err, "fix", "see whether its disk is full")
		}
		s.renew()
	} else if s.ill {
		s.log.Info("the access log can be written again", "path", s.path)
	}
	s.ill = err != nil
}

func countLines(b []byte) int { return bytes.Count(b, []byte{'\n'}) }

// putAside renames the file to .1, what was .1 to .2, and so on, and opens a new one.
func (s *sink) putAside() {
	name := func(i int) string {
		if i == 0 {
			return s.path
		}
		return s.path + "." + strconv.Itoa(i)
	}
	if s.keep == 0 {
		_ = os.Remove(s.path) // renew tells if that did not work
	}
	for i := s.keep; i > 0; i-- {
		if err := os.Rename(name(i-1), name(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.stick("the access log cannot be put aside; it grows", err)
			return
		}
	}
	s.renew()
}

// renew opens the file anew; the old one goes on if that fails.
func (s *sink) renew() {
	if s.file == nil {
		return
	}
	old := s.file
	if err := s.open(); err != nil {
		s.stick("the access log cannot be opened anew; the old file goes on", err)
		return
	}
	s.stuck = false
	_ = old.Close()
}

// stick tells once that the file cannot be replaced: it is tried again at each write.
func (s *sink) stick(what string, err error) {
	if !s.stuck {
		s.log.Error(what, "path", s.path, "error", err)
	}
	s.stuck = true
}
