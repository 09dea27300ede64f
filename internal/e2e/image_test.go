package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"portway/internal/dockertest"
)

// images builds both images once, from the Dockerfiles, under names of this
// process's own. Their label has dockertest.Main remove them in the end.
var images = sync.OnceValues(func() ([2]string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return [2]string{}, err
	}
	names := [2]string{fmt.Sprintf("portway-test:%d", os.Getpid()), fmt.Sprintf("portway-test-whoami:%d", os.Getpid())}
	arch := strings.TrimSpace(output("go", "env", "GOARCH"))
	label := dockertest.Label + "=" + fmt.Sprint(os.Getpid())
	for _, args := range [][]string{
		{"make", "--no-print-directory", "binaries"},
		{"docker", "build", "-q", "--label", label, "--target", "prebuilt", "--build-arg", "TARGETARCH=" + arch, "-t", names[0], "."},
		{"docker", "build", "-q", "--label", label, "--target", "prebuilt", "--build-arg", "TARGETARCH=" + arch, "-t", names[1], "-f", "cmd/whoami/Dockerfile", "."},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return names, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return names, nil
})

// useImages gives the names of Portway's and whoami's image.
func useImages(t *testing.T) (portwayImage, whoamiImage string) {
	t.Helper()
	dockertest.Require(t)
	names, err := images()
	if err != nil {
		t.Fatal(err)
	}
	return names[0], names[1]
}

func output(name string, args ...string) string {
	out, _ := exec.Command(name, args...).Output() // empty if it fails
	return string(out)
}

// composer runs one compose project with one of the compose versions.
type composer struct {
	command []string
	project string
	file    string
}

// newComposer writes a compose file and removes its project after the test.
func newComposer(t *testing.T, content string) *composer {
	t.Helper()
	c := &composer{project: dockertest.Name("compose"), file: filepath.Join(t.TempDir(), "compose.yaml")}
	if err := os.WriteFile(c.file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"docker", "compose"}, {"../../.cache/bin/docker-compose"}, {"docker-compose"}} {
		if exec.Command(command[0], append(command[1:len(command):len(command)], "version")...).Run() == nil {
			c.command = command
			break
		}
	}
	if c.command == nil {
		t.Fatal("no compose here; make test gets one")
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs of the project:\n%s", c.try("logs", "--no-color", "--tail", "60"))
		}
		c.try("down", "--volumes", "--remove-orphans", "-t", "1")
	})
	return c
}

func (c *composer) cmd(args ...string) *exec.Cmd {
	all := append(append([]string{}, c.command[1:]...), "-p", c.project, "-f", c.file)
	return exec.Command(c.command[0], append(all, args...)...)
}

func (c *composer) try(args ...string) string {
	out, _ := c.cmd(args...).CombinedOutput()
	return string(out)
}

func (c *composer) run(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := c.cmd(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// update writes the compose file again.
func (c *composer) update(t *testing.T, content string) {
	t.Helper()
	if err := os.WriteFile(c.file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
