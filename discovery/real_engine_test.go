package discovery

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"

	"portway/internal/dockertest"
	"portway/route"
)

// counted is a real engine whose calls are counted, and whose event stream can
// be made to end.
type counted struct {
	Engine
	mu         sync.Mutex
	inspected  []string
	lists      int
	disconnect func()
}

func (c *counted) ContainerList(ctx context.Context, o container.ListOptions) ([]container.Summary, error) {
	c.mu.Lock()
	c.lists++
	c.mu.Unlock()
	return c.Engine.ContainerList(ctx, o)
}

func (c *counted) ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error) {
	c.mu.Lock()
	c.inspected = append(c.inspected, id)
	c.mu.Unlock()
	return c.Engine.ContainerInspect(ctx, id)
}

func (c *counted) Events(ctx context.Context, o events.ListOptions) (<-chan events.Message, <-chan error) {
	ctx, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	c.disconnect = cancel
	c.mu.Unlock()
	return c.Engine.Events(ctx, o)
}

func (c *counted) times(id string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.inspected {
		if x == id {
			n++
		}
	}
	return n
}

// A reconnect inspects nothing that did not change: what the real engine lists
// and what it inspects agree, for each state that a container can be in.
func TestRealResyncCostsLittle(t *testing.T) {
	t.Parallel()
	e := dockertest.Require(t)
	image := e.Image(t, dockertest.Origin)
	run := func(hint string, s dockertest.Spec) *dockertest.Container {
		s.Image, s.Name = image, dockertest.Name(hint)
		s.Labels = host(s.Name)
		return e.Create(t, s)
	}
	var all []*dockertest.Container
	network := e.Network(t)
	all = append(all,
		run("created", dockertest.Spec{}),
		run("running", dockertest.Spec{Networks: []string{network, "bridge"}}),
		run("exited", dockertest.Spec{}),
		run("paused", dockertest.Spec{}),
		run("healthy", dockertest.Spec{Health: dockertest.HealthEvery(200 * time.Millisecond)}),
		run("checking", dockertest.Spec{Health: dockertest.HealthEvery(time.Hour)}),
	)
	for _, c := range all[1:] {
		c.Start(t)
	}
	all[2].Kill(t, "KILL")
	all[3].Pause(t)
	engine, err := Dial(Endpoint{Host: e.Host})
	if err != nil {
		t.Fatal(err)
	}
	counting := &counted{Engine: engine}
	ts := start(t, Config{Engine: counting})
	ts.state(all[2], route.Stopped)
	ts.state(all[3], route.Paused)
	ts.state(all[4], route.Ready)
	ts.state(all[5], route.Starting)
	var before []int
	for _, c := range all {
		before = append(before, counting.times(c.ID))
	}
	counting.mu.Lock()
	lists := counting.lists
	counting.disconnect()
	counting.mu.Unlock()
	waitFor(t, "another list", func() bool {
		counting.mu.Lock()
		defer counting.mu.Unlock()
		return counting.lists > lists
	})
	marker := run("marker", dockertest.Spec{})
	marker.Start(t)
	ts.state(marker, route.Ready)
	for i, c := range all {
		if n := counting.times(c.ID) - before[i]; n != 0 {
			t.Errorf("%s was inspected %d times, though nothing happened to it", c.Name, n)
		}
	}
}

// An engine that ends, in good order or not, and comes back.
func TestRealEngineRestart(t *testing.T) {
	t.Parallel()
	d := dockertest.StartDaemon(t)
	image := d.Image(t, dockertest.Origin)
	run := func(name string) *dockertest.Container {
		return d.Run(t, dockertest.Spec{Image: image, Name: name, Labels: host(name), Mode: "host", Restart: container.RestartPolicyAlways, Cmd: []string{"127.0.0.1:0"}})
	}
	stays, goes := run("stays"), run("goes")
	ts := watchReal(t, d.Engine)
	ts.state(stays, route.Ready)
	ts.state(goes, route.Ready)

	away := func(table *route.Table) bool { return len(table.Problems()) > 0 }
	back := func(table *route.Table) bool { return len(table.Problems()) == 0 }

	// Killed: its containers go on, and so does what is known of them.
	d.Kill(t)
	table := ts.until("that says that the engine is away", away)
	wantStates(t, table, "container:stays/default", map[string]route.State{"stays": route.Ready})
	d.Start(t)
	ts.until("without a problem", back)
	ts.state(stays, route.Ready)

	// Stopped: its containers stop with it, and start with it.
	d.Stop(t)
	table = ts.until("that says that the engine is away", away)
	if len(table.Routes()) != 2 {
		t.Errorf("without the engine:\n%s", dump(table))
	}
	d.Start(t)
	goes.Remove(t)
	ts.until("without a problem", back)
	ts.gone("container:goes/default")
	ts.state(stays, route.Ready)
}

// A process finds its own container, whatever its network and host name.
func TestRealOwnContainer(t *testing.T) {
	t.Parallel()
	e := dockertest.Require(t)
	image := e.Image(t, dockertest.Origin)
	for mode, addr := range map[string]string{"bridge": ":80", "host": "127.0.0.1:18127"} {
		c := e.Run(t, dockertest.Spec{Image: image, Mode: mode, Cmd: []string{addr}, Change: func(cfg *container.Config, _ *container.HostConfig) {
			if mode == "bridge" {
				cfg.Hostname = "portway"
			}
		}})
		if mode == "bridge" {
			addr = c.Addr(t, "bridge").String() + ":80"
		}
		url := "http://" + addr + "/proc/self/"
		if ids := possibleIDs(get(t, http.MethodGet, url+"mountinfo"), get(t, http.MethodGet, url+"cgroup"), "portway"); len(ids) == 0 || ids[0] != c.ID {
			t.Errorf("network %s: %v, want %s", mode, ids, c.ID)
		}
	}
}
