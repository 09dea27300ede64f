package dockertest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"

	"portway/internal/need"
)

// Origin is the package path of a small web server to run in containers; see
// its doc for what it can do.
const Origin = "portway/internal/dockertest/origin"

// images remembers, for each engine and package, the image made in this process.
var images sync.Map // string → func() (string, error)

// Image makes an image FROM scratch whose entrypoint is the Go program in
// package pkg, once per test process and engine, and returns its name.
func (e *Engine) Image(tb testing.TB, pkg string) string {
	tb.Helper()
	return e.imageOf(tb, pkg, func() ([]byte, error) { return build(pkg) })
}

// ToolImage makes an image FROM scratch whose entrypoint is a tool that scripts/tool
// builds, once per test process and engine, and returns its name. It fails where tests
// are required, and skips where the tool is not there.
func (e *Engine) ToolImage(tb testing.TB, tool string) string {
	tb.Helper()
	root, err := Root()
	if err != nil {
		tb.Fatal(err)
	}
	binary, err := os.ReadFile(filepath.Join(root, ".cache/bin", tool))
	if err != nil {
		need.Missing(tb, "%s needs %s (scripts/tool %s): %v", tb.Name(), tool, tool, err)
	}
	return e.imageOf(tb, tool, func() ([]byte, error) { return binary, nil })
}

// imageOf makes an image of what binary gives, once for each name.
func (e *Engine) imageOf(tb testing.TB, name string, binary func() ([]byte, error)) string {
	tb.Helper()
	load, _ := images.LoadOrStore(e.Host+" "+name, sync.OnceValues(func() (string, error) { return e.importImage(name, binary) }))
	image, err := load.(func() (string, error))()
	if err != nil {
		tb.Fatalf("image of %s: %v", name, err)
	}
	return image
}

// importImage uses the import call: unlike a build it needs no builder, and
// makes the one layer at once.
func (e *Engine) importImage(pkg string, load func() ([]byte, error)) (string, error) {
	binary, err := load()
	if err != nil {
		return "", err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		return "", err
	}
	if _, err := w.Write(binary); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s/%s:%d", Label, filepath.Base(pkg), os.Getpid())
	// Not the context of the test that comes first: others wait for the image too.
	ctx, cancel := background()
	defer cancel()
	answer, err := e.ImageImport(ctx, image.ImportSource{Source: &layer, SourceName: "-"}, name, image.ImportOptions{
		Changes: []string{`ENTRYPOINT ["/app"]`, fmt.Sprintf("LABEL %s=%d", Label, os.Getpid())},
	})
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Close() }()
	_, err = io.Copy(io.Discard, answer)
	return name, err
}

// build compiles a package to a static binary. The toolchain's own cache makes
// the second time cheap.
func build(pkg string) ([]byte, error) {
	dir, err := os.MkdirTemp("", Label)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	out := filepath.Join(dir, "app")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="+withoutRace(os.Getenv("GOFLAGS")))
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return os.ReadFile(out)
}

// withoutRace drops the race detector from flags: it needs cgo.
func withoutRace(flags string) string {
	return strings.ReplaceAll(flags, "-race", "")
}
