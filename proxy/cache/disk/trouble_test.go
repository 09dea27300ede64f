package disk

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// full has the store write to a device without room.
func full(t *testing.T, s *Store) (restore func()) {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	last := s.segments[len(s.segments)-1]
	was := last.file
	last.file = f
	return func() {
		s.writing.Lock()
		defer s.writing.Unlock()
		last.file = was
		_ = f.Close()
	}
}

// A full disk is reported once, what is there can still be read, and writing is tried
// again.
func TestFull(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s, err := Open(Config{Folder: t.TempDir(), Size: 64 << 20, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	large := pattern(300_000, 1)
	add(t, s, "a", large)
	s.Flush()
	restore := full(t, s)
	add(t, s, "b", []byte("not written"))
	s.Flush()
	if len(s.Find(id("b"))) > 0 {
		t.Error("b is there")
	}
	for range 3 {
		a := &Addition{ID: id("c")}
		if e := a.Prepare(); s.Add(a, e, false) || !e.Gone() {
			t.Error("c is taken")
		}
		if _, err := s.Create(); err == nil {
			t.Error("a file is to be had")
		}
	}
	restore()
	if _, b, err := read(t, s, "a"); err != nil || !bytes.Equal(b, large) {
		t.Errorf("a: %d bytes, %v", len(b), err)
	}
	s.health.mu.Lock()
	s.health.until = time.Time{} // the pause is over
	s.health.mu.Unlock()
	add(t, s, "d", []byte("written"))
	if _, b, err := read(t, s, "d"); err != nil || string(b) != "written" {
		t.Errorf("d: %q, %v", b, err)
	}
	if n := strings.Count(log.String(), "no space left on device"); n != 1 || !strings.Contains(log.String(), "takes answers again") {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}

// Where a record cannot be removed, the folder is not believed by the next start.
func TestCannotErase(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, folder, 64<<20)
	add(t, s, "a", []byte("outdated soon"))
	add(t, s, "b", []byte("something else"))
	s.Flush()
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.slots.Lock()
	s.index = f
	s.slots.Unlock()
	s.Drop(s.Find(id("a"))...)
	if s.Stats().Records != 0 {
		t.Error("it is still used")
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "cannot be removed") {
		t.Error(err)
	}
	if n := open(t, folder, 64<<20).Stats().Records; n != 0 {
		t.Errorf("%d records are back", n)
	}
}

// So too where a record cannot be moved, while its segment goes, since nobody knows what is
// in its slot then.
func TestCannotMove(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	folder := t.TempDir()
	s, err := Open(Config{Folder: folder, Size: 64 << 20, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		add(t, s, name, []byte("a record"))
	}
	s.Flush()
	for _, name := range []string{"a", "b"} {
		s.Find(id(name))[0].Use()
	}
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.slots.Lock()
	s.index = f
	s.slots.Unlock()
	s.writing.Lock()
	err = s.evict()
	s.writing.Unlock()
	if err != nil || s.Stats().Records != 0 {
		t.Errorf("%v, %d records", err, s.Stats().Records)
	}
	if err := s.Close(); err == nil || strings.Count(log.String(), "the index cannot be written") != 1 || strings.Count(log.String(), "off until the next start") != 1 {
		t.Errorf("%v; logged:\n%s", err, log.String())
	}
	if n := open(t, folder, 64<<20).Stats().Records; n != 0 {
		t.Errorf("%d records are back", n)
	}
}

// A folder of others is left alone, whatever its mode, and the error says why. Stores are
// used again, also those that were given up or killed early, with what others put there.
func TestFolderOfOthers(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		files []string
		ours  bool
	}{
		"a folder of another program": {[]string{"index", "mail.db"}, false},
		"somebody's state":            {[]string{"state", "readme"}, false},
		"empty":                       {nil, true},
		"a new file system":           {[]string{"lost+found"}, true},
		"given up":                    {[]string{"lock", "0000000000000001.segment", "0000000000000002.content"}, true},
		"killed early":                {[]string{"lock", ".state.123.tmp"}, true},
	} {
		for _, mode := range []os.FileMode{0o755, 0o700} {
			folder := t.TempDir()
			for _, name := range c.files {
				if err := os.WriteFile(filepath.Join(folder, name), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(folder, mode); err != nil {
				t.Fatal(err)
			}
			s, err := Open(Config{Folder: folder, Size: MinSize})
			info, statErr := os.Stat(folder)
			if statErr != nil {
				t.Fatal(statErr)
			}
			if c.ours {
				if err != nil || info.Mode().Perm() != 0o700 {
					t.Errorf("%s: %v, %v", what, err, info.Mode())
					continue
				}
				_ = s.Close()
				continue
			}
			files, _ := os.ReadDir(folder)
			if !errors.Is(err, ErrOthers) || !strings.Contains(err.Error(), c.files[1]) || info.Mode().Perm() != mode || len(files) != len(c.files) {
				t.Errorf("%s: %v, %v, %v", what, err, info.Mode(), files)
			}
		}
	}
}

// A folder that cannot be used is an error that names it.
func TestNoFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{file, filepath.Join(file, "below"), "/proc/cache"} {
		if s, err := Open(Config{Folder: folder, Size: MinSize}); err == nil || !strings.Contains(err.Error(), filepath.Dir(folder)) {
			t.Errorf("%s: %v, %v", folder, s, err)
		}
	}
}

// Others of the machine cannot read what is stored, also if the folder was there before.
func TestPrivate(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := open(t, folder, MinSize).Close(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(folder, "somebody else's") // put there later
	if err := errors.Join(os.WriteFile(other, nil, 0o600), os.Chmod(folder, 0o755)); err != nil {
		t.Fatal(err)
	}
	s := open(t, folder, MinSize)
	add(t, s, "a", pattern(300_000, 1))
	s.Flush()
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	files, _ := os.ReadDir(folder)
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", f.Name(), info.Mode())
		}
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// The kernel sends what is in a file, from anywhere, but nothing that was changed.
func TestSplice(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 64<<20)
	content := pattern(1<<20+5, 1)
	e := add(t, s, "a", content)
	s.Flush()
	r, err := s.Read(e)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	buf := make([]byte, ChunkSize)
	send := func(at, n int64) (got []byte, ok bool, err error) {
		f, err := r.File.Open()
		if err != nil {
			return nil, true, err
		}
		defer f.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		other, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		all := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(other)
			_ = other.Close()
			all <- b
		}()
		sent, ok, err := f.Splice(c.(*net.TCPConn), at, n, buf)
		_ = c.Close()
		got = <-all
		if sent != int64(len(got)) {
			t.Errorf("%d bytes sent, %d came", sent, len(got))
		}
		return got, ok, err
	}
	size := int64(len(content))
	for _, part := range [][2]int64{{0, size}, {0, size}, {1, 10}, {size - 1, 1}, {40_000, 300_000}} {
		if b, ok, err := send(part[0], part[1]); !ok || err != nil || !bytes.Equal(b, content[part[0]:part[0]+part[1]]) {
			t.Errorf("%v: %d bytes, %v, %v", part, len(b), ok, err)
		}
	}
	changed := bytes.Clone(content)
	changed[500_000] ^= 1
	if err := os.WriteFile(r.File.path(), changed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(r.File.path(), time.Now(), time.Now().Add(time.Second)); err != nil { // however coarse the clock is
		t.Fatal(err)
	}
	if b, _, err := send(400_000, 300_000); err == nil || len(b) > 0 || !e.Gone() {
		t.Errorf("damaged: %d bytes, %v, gone: %v", len(b), err, e.Gone())
	}
}

// Readers, writers and removers at the same time get what is there, or nothing.
func TestTogether(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 32<<20)
	contents := make([][]byte, 20)
	for i := range contents {
		contents[i] = pattern(i*17_000, uint64(i))
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := range 200 {
				n := (i*7 + g) % len(contents)
				name := string(rune('a' + n))
				switch all := s.Find(id(name)); {
				case len(all) == 0 || i%5 == 0:
					s.Flush() // or nothing would be taken where the disk is slow
					add(t, s, name, contents[n], all...)
				case i%11 == 0:
					s.Drop(all...)
				default:
					together(t, s, all[0], contents[n])
				}
			}
		})
	}
	wait.Wait()
}

func together(t *testing.T, s *Store, e *Entry, want []byte) {
	r, err := s.Read(e)
	if err != nil || r.Owner != nil {
		if err != nil && !e.Gone() {
			t.Error(err)
		}
		return
	}
	if r.File == nil {
		if !bytes.Equal(r.Content, want) {
			t.Errorf("%d bytes of %d", len(r.Content), len(want))
		}
		return
	}
	f, err := r.File.Open()
	if err != nil {
		if !e.Gone() {
			t.Error(err)
		}
		return
	}
	defer f.Close()
	buf := make([]byte, ChunkSize)
	for i := range chunks(r.File.Size()) {
		if b, err := f.Chunk(i, buf); err != nil || !bytes.Equal(b, chunk(want, i)) {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
}
