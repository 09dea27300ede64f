// Package atomicfile writes files so that a reader, a crash or a full disk
// never leaves half of one: the data goes to a temporary file beside the
// target, is synced, and then takes the target's name in one step.
package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write puts data at path with the mode perm, whatever the umask. A file that
// was there is replaced as a whole; if Write fails, it is as it was. The folder
// must exist. A symbolic link at path is replaced, not followed.
func Write(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, os.Rename)
}

// Create is like Write, but leaves a file that is there alone: the error is
// then fs.ErrExist. Of several that create at once, exactly one succeeds.
func Create(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, os.Link) // unlike a rename, a link never replaces
}

func write(path string, data []byte, perm fs.FileMode, place func(temp, path string) error) error {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already after a rename
	if err := fill(f, data, perm); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := place(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func fill(f *os.File, data []byte, perm fs.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// syncDir makes a new name outlast a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
