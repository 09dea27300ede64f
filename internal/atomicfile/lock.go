package atomicfile

import (
	"os"
	"path/filepath"
	"syscall"
)

// Lock keeps others that call it, also other processes, out of folder until unlock is
// called, or this process dies: unlike a file whose presence is the lock, none is left
// behind. It is for those who read a file and write it again.
func Lock(folder string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(folder, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return func() { _ = f.Close() }, nil
}
