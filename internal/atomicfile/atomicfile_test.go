package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"portway/internal/atomicfile"
)

func TestWriteReplacesWithMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	for _, c := range []struct {
		data string
		perm fs.FileMode
	}{{"first, longer", 0o644}, {"second", 0o600}} {
		if err := atomicfile.Write(path, []byte(c.data), c.perm); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != c.data {
			t.Fatalf("got %q, %v; want %q", got, err, c.data)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != c.perm {
			t.Fatalf("got mode %v, %v; want %v", info.Mode(), err, c.perm)
		}
	}
	onlyFile(t, path)
}

func TestCreateNeverReplaces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	var wins atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := atomicfile.Create(path, []byte(strconv.Itoa(i)), 0o600)
			switch {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("got %v, want fs.ErrExist", err)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d of 20 created the file, want exactly 1", wins.Load())
	}
	before, _ := os.ReadFile(path)
	if err := atomicfile.Create(path, []byte("other"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v, want fs.ErrExist", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Fatalf("the file changed from %q to %q", before, after)
	}
	onlyFile(t, path)
}

func TestErrorNamesTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none", "f")
	err := atomicfile.Write(path, nil, 0o600)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v, want fs.ErrNotExist with %s", err, path)
	}
}

// A process that is killed while it writes leaves a whole file, old or new.
func TestKilledWriterLeavesAWholeFile(t *testing.T) {
	if path := os.Getenv("ATOMICFILE_WRITE"); path != "" {
		for i := byte(0); ; i++ {
			if err := atomicfile.Write(path, bytes.Repeat([]byte{i}, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := atomicfile.Write(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for round := range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriterLeavesAWholeFile$")
		cmd.Env = append(os.Environ(), "ATOMICFILE_WRITE="+path)
		before := inode(t, path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); inode(t, path) == before; { // until it is at work
			if time.Now().After(deadline) {
				t.Fatal("the other process wrote nothing")
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) != 1<<20 || bytes.Count(data, data[:1]) != len(data) {
			t.Fatalf("round %d left a torn file of %d bytes", round, len(data))
		}
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// onlyFile checks that no temporary file is left beside path.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Fatalf("got %v, %v; want only %s", entries, err, path)
	}
}
