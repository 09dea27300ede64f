package pebbletest

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"portway/internal/need"
)

// version is the one that is tested against.
const version = "v2.10.1"

// binary returns the path of a program of Pebble's module, and builds it into
// .cache/bin at the root of the repository if it is not there yet. Without it
// the test is skipped, or fails where tests must not be skipped.
func binary(t testing.TB, program string) string {
	t.Helper()
	path, err := build(program)
	if err == nil {
		return path
	}
	need.Missing(t, "the ACME server is missing: %v", err)
	return ""
}

var building sync.Mutex // within this process; a lock file guards against others

func build(program string) (string, error) {
	building.Lock()
	defer building.Unlock()
	root, err := repository()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, ".cache", "bin")
	path := filepath.Join(bin, program)
	if current(path) {
		return path, nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(bin, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }() // frees the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if current(path) { // built by another process meanwhile
		return path, nil
	}
	module := "github.com/letsencrypt/pebble/v2/cmd/" + program + "@" + version
	cmd := exec.Command("go", "install", module)
	cmd.Dir = bin
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w\n%s", module, err, out)
	}
	return path, nil
}

func current(path string) bool {
	info, err := buildinfo.ReadFile(path)
	return err == nil && info.Main.Version == version
}

func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = parent
	}
}
