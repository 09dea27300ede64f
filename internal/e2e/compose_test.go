package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"portway/internal/dockertest"
)

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
