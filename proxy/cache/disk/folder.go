package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// private makes the folder, for its owner alone: it has visitors' answers in it. One that
// is there is only closed to others if it is a store's, or empty: somebody may have named
// a folder of other programs.
func private(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", folder)
	}
	if err := checkOwn(folder); err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(folder, 0o700)
	}
	return nil
}

// checkOwn makes sure that a folder is a store's, or could become one.
func checkOwn(folder string) error {
	state, err := os.ReadFile(filepath.Join(folder, stateFile))
	if err == nil && bytes.HasPrefix(state, []byte(layoutBegins)) {
		return nil
	}
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	for {
		names, err := dir.Readdirnames(100)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if !mayBeOwn(name) {
				return fmt.Errorf("%s: %w, such as %s", folder, ErrOthers, name)
			}
		}
	}
}

// mayBeOwn tells whether a file can be a store's whose state is gone, or that was killed
// before it wrote one; or is what a new file system has.
func mayBeOwn(name string) bool {
	switch name {
	case stateFile, "index", "lock", "lost+found":
		return true
	}
	_, _, record := parseName(name)
	return record || strings.HasPrefix(name, "."+stateFile+".") // half of a state
}
