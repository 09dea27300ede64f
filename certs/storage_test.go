package certs

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"portway/internal/need"
)

// needRoot skips a test that mounts or changes users, unless it must not be skipped.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		need.Missing(t, "this test must run as root, to mount a small disk")
	}
}

// disk mounts a file system in memory of that many KiB until the test ends.
func disk(t *testing.T, kib string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := syscall.Mount("portway-test", dir, "tmpfs", 0, "size="+kib+"k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves no space on the disk of dir. The returned function gives it back.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	file := filepath.Join(dir, "ballast")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() { remove(t, file) }
}

func readOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("portway-test", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}

// asNobody runs f with the file permissions of user 65534.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread() // the change is of one thread
	defer runtime.UnlockOSThread()
	setfsuid := func(uid uintptr) {
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, uid, 0, 0) // it reports no errors
	}
	setfsuid(65534)
	defer setfsuid(0)
	f()
}

// A storage that cannot work stops the start, with a message that names the
// folder, what is wrong, and what to do.
func TestNewRefusesABadStorage(t *testing.T) {
	t.Parallel()
	newIn := func(folder string) error {
		m, err := New(Config{Storage: folder, Internal: true, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			run(t, m)()
		}
		return err
	}
	for _, c := range []struct {
		name string
		try  func(t *testing.T) (folder string, err error)
		want []string
	}{
		{"read-only", func(t *testing.T) (string, error) {
			dir := disk(t, "256")
			readOnly(t, dir)
			return dir, newIn(dir)
		}, []string{"read-only file system", "mount it writable"}},
		{"full", func(t *testing.T) (string, error) {
			dir := disk(t, "256")
			fill(t, dir)
			return dir, newIn(dir)
		}, []string{"no space left on device", "free some space"}},
		{"nearly full", func(t *testing.T) (string, error) {
			dir := disk(t, "12") // three pages: a certificate would not fit
			return dir, newIn(dir)
		}, []string{"no space left on device", "free some space"}},
		{"of another user", func(t *testing.T) (folder string, err error) {
			folder = t.TempDir()
			if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil { // else nobody could see it
				return "", err
			}
			asNobody(t, func() { err = newIn(folder) })
			return folder, err
		}, []string{"permission denied", "chown -R", "belongs to user 0 with mode 0755"}},
		{"below a folder of another user", func(t *testing.T) (folder string, err error) {
			folder = filepath.Join(t.TempDir(), "data")
			asNobody(t, func() { err = newIn(folder) })
			return folder, err
		}, []string{"permission denied", "chown -R"}},
		{"a file", func(t *testing.T) (string, error) {
			file := filepath.Join(t.TempDir(), "data")
			write(t, file, "")
			return file, newIn(file)
		}, []string{"not a directory", "choose another folder"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			folder, err := c.try(t)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(c.want, folder) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
	if err := newIn(""); err == nil || !strings.Contains(err.Error(), "no storage folder") {
		t.Errorf("no folder: got %v", err)
	}
}

func TestNewMakesATightFolder(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "data")
	if _, err := openStorage(folder); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got mode %v, %v; want 0700", info.Mode(), err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// While it runs: names with a certificate are served on, a new one fails with
// a clear message and without an order, and works once there is space again.
func TestDiskFullWhileRunning(t *testing.T) {
	t.Parallel()
	dir := disk(t, "512")
	ca := newFakeCA(t, 90*24*time.Hour)
	log, l := newLogs(t)
	fast := defaultTiming()
	fast.backoff = backoff{base: 50 * time.Millisecond, limit: 50 * time.Millisecond}
	m, err := newManager(Config{Storage: dir, Directory: "https://ca.example/dir", Logger: log}, fast, ca.issuer)
	if err != nil {
		t.Fatal(err)
	}
	defer run(t, m)()
	m.SetNames(plain("old.com", "x.localhost"))
	await(t, "the first certificates", func() bool {
		return m.Status("old.com").State == Valid && m.Status("x.localhost").State == Valid
	})

	empty := fill(t, dir)
	m.SetNames(plain("old.com", "new.com", "x.localhost", "y.localhost"))
	await(t, "a failure", func() bool { return m.Status("new.com").State == Failed })
	if s := m.Status("new.com"); !strings.Contains(s.LastError, "disk is full") || !strings.Contains(s.LastError, dir) || s.NextTry.IsZero() {
		t.Errorf("status: %+v", s)
	}
	if n := len(ca.tries("new.com")); n != 0 {
		t.Errorf("%d orders for a certificate that could not be kept", n)
	}
	if len(l.lines("level=ERROR", "name=new.com", "no space left on device", "free some space", "next_try=")) == 0 {
		t.Error("the log does not say so")
	}
	await(t, "a new internal name", func() bool { return m.Status("y.localhost").State == Valid })
	if cert, err := handshake(t, m, "old.com"); err != nil || cert.Issuer.String() != ca.root.Subject.String() {
		t.Errorf("the old name is not served any more: %v", err)
	}
	empty()
	await(t, "the new certificate", func() bool { return m.Status("new.com").State == Valid })
}

// A root that cannot be made is told, and made as soon as it can.
func TestInternalCAWithoutSpace(t *testing.T) {
	t.Parallel()
	dir := disk(t, "128")
	log, l := newLogs(t)
	m, err := New(Config{Storage: dir, Internal: true, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer run(t, m)()
	fill(t, dir)
	m.SetNames(plain("a.localhost", "b.localhost"))
	await(t, "a failure", func() bool { return m.Status("a.localhost").State == Failed && m.Status("b.localhost").State == Failed })
	if s := m.Status("a.localhost"); !strings.Contains(s.LastError, "no space left on device") || !strings.Contains(s.LastError, dir) {
		t.Errorf("status: %+v", s)
	}
	if _, err := handshake(t, m, "a.localhost"); err == nil {
		t.Error("there is a certificate")
	}
	if found := l.lines("level=ERROR", "no space left on device"); len(found) != 1 {
		t.Errorf("%d lines in the log, want 1 for both names and the handshake:\n%s", len(found), found)
	}
}

// A write that fails during a try is known as such, though certmagic passes on
// its text only.
func TestStorageNotesItsErrors(t *testing.T) {
	t.Parallel()
	dir := disk(t, "64")
	s, err := openStorage(dir)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, dir)
	tr := newTry("a.com")
	if err := s.Store(withTry(context.Background(), tr), "a/b", make([]byte, 8192)); err == nil || tr.storageErr == nil {
		t.Errorf("got %v, noted %v", err, tr.storageErr)
	}
}

// The disk fills up between the files of a renewed certificate: the old one
// must still be there after a restart.
func TestFailedSaveKeepsTheOldCertificate(t *testing.T) {
	t.Parallel()
	dir, ca := disk(t, "256"), newFakeCA(t, ninetyDays)
	inBubble(t, func(t *testing.T) {
		m, stop, _ := manage(t, dir, ca)
		m.SetNames(plain("a.com"))
		time.Sleep(59 * 24 * time.Hour)
		ca.mu.Lock()
		ca.padding = 512 << 10
		ca.mu.Unlock()
		time.Sleep(2 * 24 * time.Hour)
		s := m.Status("a.com")
		if s.State != Valid || !strings.Contains(s.LastError, "disk is full") {
			t.Errorf("status: %+v", s)
		}
		stop()
		orders := len(ca.tries("a.com"))
		m, stop, _ = manage(t, dir, ca)
		defer stop()
		m.SetNames(plain("a.com"))
		synctest.Wait()
		if again := m.Status("a.com"); again.State != Valid || !again.NotAfter.Equal(s.NotAfter) {
			t.Errorf("after a restart: %+v", again)
		}
		if n := len(ca.tries("a.com")); n != orders {
			t.Errorf("the restart made %d orders", n-orders)
		}
	})
}
