package exampletest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"

	"portway/internal/dockertest"
	"portway/internal/need"
)

const socket = "/var/run/docker.sock:/var/run/docker.sock:ro"

// socketGroup is the group that may use the engine's socket.
func socketGroup(t *testing.T) string {
	t.Helper()
	info, err := os.Stat("/var/run/docker.sock")
	if err != nil {
		need.Missing(t, "the engine's socket is elsewhere: %v", err)
	}
	return strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid))
}

// healthy waits until Docker's own health check, the image's, is content.
func healthy(t *testing.T, id string) {
	t.Helper()
	eventually(t, func() error {
		out, err := exec.Command("docker", "inspect", "-f", "{{.State.Health.Status}} {{range .State.Health.Log}}{{.Output}}{{end}}", id).CombinedOutput()
		if err == nil && !strings.HasPrefix(string(out), "healthy") {
			err = fmt.Errorf("health: %s", out)
		}
		return err
	})
}

func logOf(t *testing.T, id string) string {
	t.Helper()
	out, err := exec.Command("docker", "logs", id).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// logs waits for a log line with all of words in it.
func logs(t *testing.T, id string, words ...string) {
	t.Helper()
	eventually(t, func() error {
		log := logOf(t, id)
		for line := range strings.Lines(log) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return nil
			}
		}
		return fmt.Errorf("no line with %q in:\n%s", words, log)
	})
}

// threads gives the status of each thread of a container's first process.
func threads(t *testing.T, c *dockertest.Container) []map[string]string {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.Inspect(t).State.Pid))
	if err != nil || len(paths) == 0 {
		need.Missing(t, "the engine's processes are not in this machine's /proc (%v)", err)
	}
	var all []map[string]string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		status := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			status[key] = strings.Join(strings.Fields(value), " ")
		}
		all = append(all, status)
	}
	return all
}

// With the compose file, Portway starts as root and must be nobody much
// by the time it serves: each of its threads. Giving up root takes no more than
// two capabilities, for those who drop all others.
func TestRootIsGivenUp(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	image, _ := dockertest.Product(t)
	group := socketGroup(t)
	for name, drop := range map[string][]string{"as Docker starts it": nil, "all capabilities dropped but two": {"ALL"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := engine.Run(t, dockertest.Spec{Image: image, Binds: []string{socket}, Change: func(_ *container.Config, host *container.HostConfig) {
				if host.CapDrop = drop; drop != nil {
					host.CapAdd = []string{"SETUID", "SETGID"}
				}
			}})
			healthy(t, c.ID)
			for _, status := range threads(t, c) {
				for key, want := range map[string]string{
					"Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532", "Groups": group, "NoNewPrivs": "1",
					"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapInh": "0000000000000000", "CapAmb": "0000000000000000",
				} {
					if status[key] != want {
						t.Errorf("thread %s: %s is %s, want %s", status["Pid"], key, status[key], want)
					}
				}
			}
			logs(t, c.ID, "gave up root", `"uid":65532`, `"groups":[`+group+`]`)
			if log := logOf(t, c.ID); strings.Contains(log, "permission denied") {
				t.Errorf("something is not permitted any more:\n%s", log)
			}
		})
	}
}

// Who starts it as an ordinary user gets that, and is told what the socket needs.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	image, _ := dockertest.Product(t)
	group := socketGroup(t)
	for name, groups := range map[string][]string{"without the group": nil, "with the group": {group}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := engine.Run(t, dockertest.Spec{Image: image, Binds: []string{socket}, Change: func(cfg *container.Config, host *container.HostConfig) {
				cfg.User = "65532:65532"
				host.GroupAdd = groups
				host.CapDrop = []string{"ALL"}
			}})
			healthy(t, c.ID)
			if groups == nil {
				logs(t, c.ID, "docker.sock", "group_add")
			} else if log := logOf(t, c.ID); strings.Contains(log, "denied") || strings.Contains(log, "running as root") {
				t.Errorf("a complaint where all is well:\n%s", log)
			}
		})
	}
}

// Root without the capabilities to give itself up must not go on as root.
func TestRootThatCannotBeGivenUp(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	image, _ := dockertest.Product(t)
	c := engine.Run(t, dockertest.Spec{Image: image, Binds: []string{socket}, Change: func(_ *container.Config, host *container.HostConfig) {
		host.CapDrop = []string{"ALL"}
	}})
	logs(t, c.ID, "portway: cannot give up root", "cap_add: [SETUID, SETGID]", `user: "65532:65532"`)
	eventually(t, func() error {
		if state := c.Inspect(t).State; state.Running || state.ExitCode != 1 {
			return fmt.Errorf("running %v, exit status %d", state.Running, state.ExitCode)
		}
		return nil
	})
}

// A folder of the host as /data: an empty one of root's, as Docker makes it, is
// taken over; one with something in it is not ours to change.
func TestBindMountedStorage(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		need.Missing(t, "a folder that belongs to root needs a test that runs as root")
	}
	engine := dockertest.Require(t)
	image, _ := dockertest.Product(t)
	for _, tc := range []struct {
		name  string
		file  string
		owner uint32
	}{
		{"empty", "", 65532},
		{"used", "somebody-elses", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if tc.file != "" {
				if err := os.WriteFile(filepath.Join(folder, tc.file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := engine.Run(t, dockertest.Spec{Image: image, Cmd: []string{"--docker=off"}, Binds: []string{folder + ":/data"}})
			if tc.owner == 0 {
				logs(t, c.ID, "/data", "65532") // which folder, and who must be able to write there
			} else {
				healthy(t, c.ID)
			}
			info, err := os.Stat(folder)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Sys().(*syscall.Stat_t).Uid; got != tc.owner {
				t.Errorf("the folder belongs to %d, want %d", got, tc.owner)
			}
		})
	}
}
