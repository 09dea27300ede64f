package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/caddyserver/certmagic"

	"portway/internal/atomicfile"
)

// storage is a folder for accounts, certificates, challenges and failures.
// certmagic's own file storage writes atomically, files with mode 0600 and
// folders with 0700. Two things are added. A failed write is remembered by the
// try it belongs to, since certmagic passes on its text only. And where
// certmagic gives up in the middle of the files of a certificate, and deletes
// those it has written, the ones that were there before come back.
type storage struct {
	*certmagic.FileStorage
}

var (
	_ certmagic.Storage   = storage{}
	_ certmagic.TryLocker = storage{}
)

// openStorage makes the folder if needed, and checks that it can be written.
func openStorage(folder string) (storage, error) {
	if folder == "" {
		return storage{}, errors.New("no storage folder is set for certificates")
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return storage{}, err
	}
	s := storage{&certmagic.FileStorage{Path: folder}}
	err = os.MkdirAll(folder, 0o700)
	if err == nil {
		err = s.probe()
	}
	if err != nil {
		return storage{}, s.explain(err)
	}
	return s, nil
}

// probe writes as much as a certificate needs.
func (s storage) probe() error {
	file := filepath.Join(s.Path, ".portway-write-test")
	if err := atomicfile.Write(file, make([]byte, 16<<10), 0o600); err != nil {
		return err
	}
	return os.Remove(file)
}

// Store saves value at key.
func (s storage) Store(ctx context.Context, key string, value []byte) error {
	if t := tryOf(ctx); t != nil {
		if old, err := s.Load(ctx, key); err == nil {
			t.mu.Lock()
			t.replaced[key] = old
			t.mu.Unlock()
		}
	}
	return s.note(ctx, s.FileStorage.Store(ctx, key, value))
}

// Delete removes what is at key. After a failed write of a try, it undoes what
// the try did there.
func (s storage) Delete(ctx context.Context, key string) error {
	if t := tryOf(ctx); t != nil {
		t.mu.Lock()
		old, ok := t.replaced[key]
		undo := ok && t.storageErr != nil
		t.mu.Unlock()
		if undo {
			return s.FileStorage.Store(ctx, key, old)
		}
	}
	return s.FileStorage.Delete(ctx, key)
}

// Lock blocks until it has the lock called name.
func (s storage) Lock(ctx context.Context, name string) error {
	return s.note(ctx, s.FileStorage.Lock(ctx, name))
}

func (s storage) note(ctx context.Context, err error) error {
	if t := tryOf(ctx); t != nil && err != nil && ctx.Err() == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.storageErr = err
	}
	return err
}

// explain adds to an error of the file system which folder it is about and
// what to do.
func (s storage) explain(err error) error {
	advice := "Check the folder and its disk."
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		advice = "Its disk is full: free some space, or choose another folder."
	case errors.Is(err, syscall.EROFS):
		advice = "It is mounted read-only: mount it writable (a volume without :ro), or choose another folder."
	case errors.Is(err, fs.ErrPermission):
		advice = s.permissionAdvice()
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		advice = "There is a file where the folder should be: choose another folder."
	}
	return fmt.Errorf("the storage folder %s for certificates cannot be written (%w). %s", s.Path, err, advice)
}

func (s storage) permissionAdvice() string {
	uid, gid := os.Geteuid(), os.Getegid()
	fix := fmt.Sprintf("let it belong to that user (chown -R %d:%d %s), or choose another folder.", uid, gid, s.Path)
	var stat syscall.Stat_t
	if err := syscall.Stat(s.Path, &stat); err != nil {
		return fmt.Sprintf("Portway runs as user %d, who may not get there: %s", uid, fix)
	}
	return fmt.Sprintf("Portway runs as user %d, but the folder belongs to user %d with mode %04o: %s", uid, stat.Uid, stat.Mode&0o7777, fix)
}
