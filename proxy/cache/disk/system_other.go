//go:build !linux

package disk

import (
	"errors"
	"os"
)

func lockFile(string) (*os.File, error) {
	return nil, errors.New("the cache on disk needs Linux")
}

func unlockFile(f *os.File) { _ = f.Close() }

func syncFolder(*os.File) error { return nil }

func bootID() string { return "" }
