package disk

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t testing.TB, folder string, size int64) *Store {
	t.Helper()
	s, err := Open(Config{Folder: folder, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// id is the one of a name.
func id(name string) (id ID) {
	copy(id[:], name)
	return id
}

func pattern(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// add stores a record, as small or large as it is.
func add(t testing.TB, s *Store, name string, content []byte, replaces ...*Entry) *Entry {
	t.Helper()
	a := &Addition{ID: id(name), Meta: []byte("meta of " + name), Replaces: replaces, Owner: name}
	if len(content) <= Small {
		a.Content = [][]byte{content[:len(content)/2], content[len(content)/2:]}
	} else {
		f, err := s.Create()
		if err != nil {
			t.Fatal(err)
		}
		for rest := content; len(rest) > 0; {
			n := min(len(rest), 8*ChunkSize)
			if err := f.Append(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		a.File = f
	}
	e := a.Prepare()
	if !s.Add(a, e, false) {
		t.Fatalf("%s is not taken", name)
	}
	return e
}

// read gives the newest record of a name; "" if there is none.
func read(t testing.TB, s *Store, name string) (meta string, content []byte, err error) {
	t.Helper()
	s.Flush()
	all := s.Find(id(name))
	if len(all) == 0 {
		return "", nil, nil
	}
	r, err := s.Read(all[0])
	if err != nil {
		return "", nil, err
	}
	if r.File == nil {
		return string(r.Meta), r.Content, nil
	}
	f, err := r.File.Open()
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	buf := make([]byte, ChunkSize)
	for i := range chunks(r.File.Size()) {
		b, err := f.Chunk(i, buf)
		if err != nil {
			return "", nil, err
		}
		content = append(content, b...)
	}
	return string(r.Meta), content, nil
}

var sizes = []int{0, 1, 1000, ChunkSize, ChunkSize + 1, Small, Small + 1, 400_000}

// What is stored is there, also after Close and Open, and after the process was killed.
func TestStored(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "cache")
	s := open(t, folder, 64<<20)
	check := func(when string) {
		t.Helper()
		for i, n := range sizes {
			name := fmt.Sprint(i)
			if meta, b, err := read(t, s, name); err != nil || meta != "meta of "+name || !bytes.Equal(b, pattern(n, uint64(i))) {
				t.Errorf("%s: record %d: %q, %d bytes, %v", when, i, meta, len(b), err)
			}
		}
	}
	for i, n := range sizes {
		add(t, s, fmt.Sprint(i), pattern(n, uint64(i)))
	}
	check("at once")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, folder, 64<<20)
	check("after Close")
	kill(s)
	s = open(t, folder, 64<<20)
	check("after a kill")
	for i := range sizes {
		s.Drop(s.Find(id(fmt.Sprint(i)))...)
	}
	kill(s)
	s = open(t, folder, 64<<20)
	s.Flush()
	if n := s.Stats().Records; n != 0 {
		t.Errorf("%d records are back", n)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "*"+bodyKind)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
}

// kill ends a store as the end of its process does.
func kill(s *Store) {
	s.Flush() // what is written does not depend on when it is killed; see the cache's tests for that
	s.mu.Lock()
	s.closed = true
	s.wake.Broadcast()
	s.mu.Unlock()
	s.writer.Wait()
	s.release()
}

// What replaces a record can have its content.
func TestReplace(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, folder, 64<<20)
	for name, n := range map[string]int{"small": 1000, "large": 500_000} {
		content := pattern(n, 3)
		first := add(t, s, name, content)
		s.Flush()
		a := &Addition{ID: id(name), Meta: []byte("new meta"), Replaces: []*Entry{first}}
		if n > Small {
			r, err := s.Read(first)
			if err != nil {
				t.Fatal(err)
			}
			a.File = r.File
		} else {
			a.Content = [][]byte{content}
		}
		e := a.Prepare()
		if !s.Add(a, e, true) || !first.Gone() || e.Gone() {
			t.Fatal(name, "not replaced")
		}
		if late := a.Prepare(); s.Add(a, late, true) || !late.Gone() {
			t.Error(name, "replaces what is not there")
		}
		for range 2 {
			if meta, b, err := read(t, s, name); meta != "new meta" || !bytes.Equal(b, content) || err != nil {
				t.Errorf("%s: %q, %d bytes, %v", name, meta, len(b), err)
			}
			kill(s)
			s = open(t, folder, 64<<20)
		}
		if n := len(s.Find(id(name))); n != 1 {
			t.Errorf("%s: %d records", name, n)
		}
	}
}

// Bytes that changed on the disk are found, and never given.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1000, Small, Small + 1, 3*ChunkSize + Small} {
		for _, restart := range []bool{false, true} {
			for _, kind := range []string{segmentKind, bodyKind} {
				for part := range 3 {
					if n > Small || kind == segmentKind {
						damage(t, n, restart, kind, part)
					}
				}
			}
		}
	}
}

func damage(t *testing.T, size int, restart bool, kind string, part int) {
	t.Helper()
	folder := t.TempDir()
	s := open(t, folder, 64<<20)
	add(t, s, "a", pattern(size, 5))
	s.Flush()
	if restart {
		kill(s)
	} else if meta, _, _ := read(t, s, "a"); meta == "" {
		t.Fatal("not there")
	}
	files, _ := filepath.Glob(filepath.Join(folder, "*"+kind))
	if len(files) != 1 {
		t.Fatal(files)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[(len(b)-1)*part/2] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if restart {
		s = open(t, folder, 64<<20)
	}
	meta, got, err := read(t, s, "a")
	if err == nil || meta != "" || len(got) > 0 || len(s.Find(id("a"))) > 0 {
		t.Errorf("%d bytes, restart %v, %s damaged at %d/2: %q, %d bytes, %v", size, restart, kind, part, meta, len(got), err)
	}
}

// Slots that are damaged, and files that are gone or cut, cost the records that they
// are about.
func TestDamagedFolder(t *testing.T) {
	t.Parallel()
	for what, harm := range map[string]func(folder string) error{
		"slot": func(folder string) error {
			b, err := os.ReadFile(filepath.Join(folder, "index"))
			if err != nil {
				return err
			}
			b[50] ^= 4
			return os.WriteFile(filepath.Join(folder, "index"), b, 0o600)
		},
		"cut segment": func(folder string) error {
			files, _ := filepath.Glob(filepath.Join(folder, "*"+segmentKind))
			return os.Truncate(files[0], 500)
		},
		"cut content": func(folder string) error {
			files, _ := filepath.Glob(filepath.Join(folder, "*"+bodyKind))
			return os.Truncate(files[0], 500)
		},
		"no content": func(folder string) error {
			files, _ := filepath.Glob(filepath.Join(folder, "*"+bodyKind))
			return os.Remove(files[0])
		},
		"no index": func(folder string) error { return os.Remove(filepath.Join(folder, "index")) },
		"another start of the machine": func(folder string) error {
			return os.WriteFile(filepath.Join(folder, "state"), []byte(layout+"0000\n"), 0o600)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			s := open(t, folder, 64<<20)
			add(t, s, "large", pattern(300_000, 1))
			s.Flush()
			add(t, s, "small", pattern(1000, 2))
			kill(s)
			if err := harm(folder); err != nil {
				t.Fatal(err)
			}
			s = open(t, folder, 64<<20)
			left := 0
			for name, want := range map[string][]byte{"large": pattern(300_000, 1), "small": pattern(1000, 2)} {
				meta, b, err := read(t, s, name)
				if meta != "" && (err != nil || !bytes.Equal(b, want)) {
					t.Errorf("%s: %d bytes, %v", name, len(b), err)
				} else if meta != "" {
					left++
				}
			}
			if left == 2 {
				t.Error("nothing was missed")
			}
		})
	}
}

// The folder never takes more than it may; what is used stays while others go.
func TestBounds(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	folder := t.TempDir()
	s := open(t, folder, size)
	add(t, s, "hot", pattern(1000, 0))
	add(t, s, "hot and large", pattern(300_000, 0))
	for i := range 2000 {
		if i%10 == 0 {
			add(t, s, fmt.Sprint(i), pattern(Small+1+i, 1))
		} else {
			add(t, s, fmt.Sprint(i), pattern(5*i, 1))
		}
		if i%50 == 0 {
			for _, name := range []string{"hot", "hot and large"} {
				if meta, _, err := read(t, s, name); meta == "" || err != nil {
					t.Fatalf("%s is gone after %d others, %v", name, i, err)
				}
			}
			if n := bytesIn(t, folder); n > size {
				t.Fatalf("%d bytes after %d records", n, i)
			}
		}
	}
	s.Flush()
	st := s.Stats()
	t.Logf("%d records in %d bytes", st.Records, st.Bytes)
	if n := bytesIn(t, folder); n > size || n < size/2 || st.Bytes < n-1000 || st.Bytes > n+slotSize*int64(s.used) {
		t.Errorf("%d bytes in the folder; the store believes %d", n, st.Bytes)
	}
	if len(s.segments) > 70 {
		t.Errorf("%d segments", len(s.segments))
	}
	before := s.Stats()
	kill(s)
	s = open(t, folder, size)
	if after := s.Stats(); after != before {
		t.Errorf("%+v before, %+v after", before, after)
	}
}

func bytesIn(t *testing.T, folder string) (n int64) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

// A content that is too large for the store leaves nothing behind.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 8<<20)
	f, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err = f.Append(make([]byte, Small)); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "too large a part") {
		t.Error(err)
	}
	f.Discard()
	if n := s.Stats().Bytes; n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

// Only one process has the folder.
func TestLocked(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, folder, MinSize)
	if _, err := Open(Config{Folder: folder, Size: MinSize}); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, folder, MinSize)
}
