// Package dockertest gives tests containers on a real Docker engine: images
// FROM scratch around Go programs, containers and networks that are gone when
// the test is, waiting by events instead of sleeping, and an engine of the
// test's own to be stopped and started.
//
// Everything it makes carries the label portway-test=<pid of the test>. What a
// killed test leaves behind is removed by the next one.
package dockertest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"portway/internal/need"
)

// Label is on everything that this package makes; its value is the process ID
// of the test.
const Label = "portway-test"

// orphanAge is how old something of a process that is gone must be before it
// is removed: process IDs mean nothing across PID namespaces, so that a test in
// a container could look gone while it runs.
const orphanAge = 15 * time.Minute

var names atomic.Int64

// Name makes a name which no other test uses at the same time.
func Name(hint string) string {
	return fmt.Sprintf("pwt-%d-%d-%s", os.Getpid(), names.Add(1), hint)
}

// Engine is a Docker engine to test with.
type Engine struct {
	*client.Client
	Host string // as in DOCKER_HOST
}

// Require connects to the engine that DOCKER_HOST names, or to the default
// socket. Without an engine the test fails if CI or PORTWAY_TEST_REQUIRE=1 is
// set, and is skipped otherwise.
func Require(tb testing.TB) *Engine {
	tb.Helper()
	e, err := connect(tb.Context(), client.FromEnv)
	if err != nil {
		need.Missing(tb, "%s needs a Docker engine: %v", tb.Name(), err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

func connect(ctx context.Context, opts ...client.Opt) (*Engine, error) {
	c, err := client.NewClientWithOpts(append(opts, client.WithAPIVersionNegotiation())...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := c.Ping(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return &Engine{Client: c, Host: c.DaemonHost()}, nil
}

// Main is TestMain for packages that use the engine: it removes what killed
// tests left behind, runs the tests, calls each of after, and removes all that this
// process made.
func Main(m *testing.M, after ...func()) {
	sweep(func(label string, age time.Duration) bool {
		pid, err := strconv.Atoi(label)
		return err == nil && !alive(pid) && age > orphanAge
	})
	code := m.Run()
	for _, end := range after {
		end()
	}
	sweep(func(label string, _ time.Duration) bool { return label == strconv.Itoa(os.Getpid()) })
	os.Exit(code)
}

func alive(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil
}

// sweep removes containers, networks and images of ours that match. It is the
// second line after t.Cleanup, so that errors do not matter.
func sweep(match func(label string, age time.Duration) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := connect(ctx, client.FromEnv)
	if err != nil {
		return
	}
	defer func() { _ = e.Close() }()
	ours := filters.NewArgs(filters.Arg("label", Label))
	containers, _ := e.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	for _, c := range containers {
		if match(c.Labels[Label], time.Since(time.Unix(c.Created, 0))) {
			_ = e.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		}
	}
	networks, _ := e.NetworkList(ctx, network.ListOptions{Filters: ours})
	for _, n := range networks {
		if match(n.Labels[Label], time.Since(n.Created)) {
			_ = e.NetworkRemove(ctx, n.ID)
		}
	}
	images, _ := e.ImageList(ctx, image.ListOptions{Filters: ours})
	for _, i := range images {
		if match(i.Labels[Label], time.Since(time.Unix(i.Created, 0))) {
			_, _ = e.ImageRemove(ctx, i.ID, image.RemoveOptions{Force: true, PruneChildren: true})
		}
	}
}
