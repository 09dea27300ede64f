package dockertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// product builds both images once per process, from the Dockerfiles, under
// names of the process's own. Their label has Main remove them in the end.
var product = sync.OnceValues(func() ([2]string, error) {
	names := [2]string{fmt.Sprintf("%s/portway:%d", Label, os.Getpid()), fmt.Sprintf("%s/whoami:%d", Label, os.Getpid())}
	root, err := Root()
	if err != nil {
		return names, err
	}
	build := []string{"docker", "build", "-q", "--label", fmt.Sprintf("%s=%d", Label, os.Getpid()), "--target", "prebuilt", "--build-arg", "TARGETARCH=" + runtime.GOARCH}
	for _, args := range [][]string{
		{"make", "--no-print-directory", "binaries"},
		append(build[:len(build):len(build)], "-t", names[0], "."),
		append(build[:len(build):len(build)], "-t", names[1], "-f", "cmd/whoami/Dockerfile", "."),
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return names, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return names, nil
})

// Product gives the names of Portway's and whoami's images, built from the
// Dockerfiles; see Require for what happens without an engine.
func Product(tb testing.TB) (portway, whoami string) {
	tb.Helper()
	Require(tb)
	names, err := product()
	if err != nil {
		tb.Fatal(err)
	}
	return names[0], names[1]
}

// Root is the top folder of the repository.
func Root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err = os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in the working directory or above: %w", err)
		}
		dir, err = filepath.Dir(dir), nil
	}
	return "", err
}
