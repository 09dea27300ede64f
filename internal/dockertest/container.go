package dockertest

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

// Spec describes a container.
type Spec struct {
	Image    string
	Name     string // empty: a unique one
	Cmd      []string
	Env      []string
	Labels   map[string]string
	Expose   []string // ports as in EXPOSE, for example "80"
	Publish  []string // as in docker run -p, for example "127.0.0.1::80"
	Networks []string // names; empty: the default bridge
	Mode     string   // network mode instead of Networks: "host", "none", "container:NAME"
	Health   *container.HealthConfig
	Binds    []string // as in docker run -v
	Restart  container.RestartPolicyMode
	// Change, if set, has the last word before the container is created.
	Change func(*container.Config, *container.HostConfig)
}

// Container is a container of a test.
type Container struct {
	ID     string
	Name   string
	engine *Engine
}

// Run creates and starts a container; it is gone after the test.
func (e *Engine) Run(tb testing.TB, s Spec) *Container {
	tb.Helper()
	c := e.Create(tb, s)
	c.Start(tb)
	return c
}

// Create makes a container without starting it; it is gone after the test.
func (e *Engine) Create(tb testing.TB, s Spec) *Container {
	tb.Helper()
	if s.Name == "" {
		s.Name = Name("c")
	}
	cfg := &container.Config{
		Image: s.Image, Cmd: s.Cmd, Env: s.Env, Healthcheck: s.Health,
		Labels: map[string]string{Label: strconv.Itoa(os.Getpid())},
	}
	for k, v := range s.Labels {
		cfg.Labels[k] = v
	}
	exposed, published, err := nat.ParsePortSpecs(s.Publish)
	if err != nil {
		tb.Fatalf("publish: %v", err)
	}
	for _, p := range s.Expose {
		port, number, _ := strings.Cut(p, "/")
		if number == "" {
			number = "tcp"
		}
		exposed[nat.Port(port+"/"+number)] = struct{}{}
	}
	cfg.ExposedPorts = exposed
	host := &container.HostConfig{
		PortBindings: published, Binds: s.Binds,
		NetworkMode:   container.NetworkMode(s.Mode),
		RestartPolicy: container.RestartPolicy{Name: s.Restart},
	}
	if s.Mode == "" && len(s.Networks) > 0 {
		host.NetworkMode = container.NetworkMode(s.Networks[0])
	}
	if s.Change != nil {
		s.Change(cfg, host)
	}
	ctx, cancel := background()
	defer cancel()
	made, err := e.ContainerCreate(ctx, cfg, host, nil, nil, s.Name)
	if err != nil {
		tb.Fatalf("create container %s: %v", s.Name, err)
	}
	c := &Container{ID: made.ID, Name: s.Name, engine: e}
	tb.Cleanup(func() {
		if err := c.remove(); err != nil && !cerrdefs.IsNotFound(err) {
			tb.Errorf("remove container %s: %v", c.Name, err)
		}
	})
	for _, n := range s.Networks[min(1, len(s.Networks)):] {
		e.Connect(tb, n, c)
	}
	return c
}

// background gives clean-up and set-up a context of their own: that of a test
// ends before its clean-up runs.
func background() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

func (c *Container) do(tb testing.TB, what string, call func(context.Context) error) {
	tb.Helper()
	ctx, cancel := background()
	defer cancel()
	if err := call(ctx); err != nil {
		tb.Fatalf("%s container %s: %v", what, c.Name, err)
	}
}

// Start starts the container.
func (c *Container) Start(tb testing.TB) {
	tb.Helper()
	c.do(tb, "start", func(ctx context.Context) error {
		return c.engine.ContainerStart(ctx, c.ID, container.StartOptions{})
	})
}

// Stop stops the container as docker stop does, and returns when it is down.
func (c *Container) Stop(tb testing.TB) {
	tb.Helper()
	c.do(tb, "stop", func(ctx context.Context) error {
		return c.engine.ContainerStop(ctx, c.ID, container.StopOptions{})
	})
}

// Kill sends a signal.
func (c *Container) Kill(tb testing.TB, signal string) {
	tb.Helper()
	c.do(tb, "kill", func(ctx context.Context) error { return c.engine.ContainerKill(ctx, c.ID, signal) })
}

// Pause freezes the container.
func (c *Container) Pause(tb testing.TB) {
	tb.Helper()
	c.do(tb, "pause", func(ctx context.Context) error { return c.engine.ContainerPause(ctx, c.ID) })
}

// Unpause thaws the container.
func (c *Container) Unpause(tb testing.TB) {
	tb.Helper()
	c.do(tb, "unpause", func(ctx context.Context) error { return c.engine.ContainerUnpause(ctx, c.ID) })
}

// Rename gives the container another name.
func (c *Container) Rename(tb testing.TB, name string) {
	tb.Helper()
	c.do(tb, "rename", func(ctx context.Context) error { return c.engine.ContainerRename(ctx, c.ID, name) })
	c.Name = name
}

// Remove kills and removes the container before the test ends.
func (c *Container) Remove(tb testing.TB) {
	tb.Helper()
	c.do(tb, "remove", func(context.Context) error { return c.remove() })
}

func (c *Container) remove() error {
	ctx, cancel := background()
	defer cancel()
	return c.engine.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
}

// Inspect asks the engine about the container.
func (c *Container) Inspect(tb testing.TB) (r container.InspectResponse) {
	tb.Helper()
	c.do(tb, "inspect", func(ctx context.Context) (err error) {
		r, err = c.engine.ContainerInspect(ctx, c.ID)
		return err
	})
	return r
}

// Addr is the container's address on a network ("bridge" for the default one).
func (c *Container) Addr(tb testing.TB, network string) netip.Addr {
	tb.Helper()
	n := c.Inspect(tb).NetworkSettings.Networks[network]
	if n == nil {
		tb.Fatalf("container %s is not on network %s", c.Name, network)
	}
	for _, text := range []string{n.IPAddress, n.GlobalIPv6Address} {
		if a, err := netip.ParseAddr(text); err == nil {
			return a
		}
	}
	tb.Fatalf("container %s has no address on network %s", c.Name, network)
	return netip.Addr{}
}

// Network makes a bridge network and returns its name; options may add to what
// is asked of the engine. It is gone after the test.
func (e *Engine) Network(tb testing.TB, options ...func(*network.CreateOptions)) string {
	tb.Helper()
	name := Name("net")
	o := network.CreateOptions{Driver: "bridge", Labels: map[string]string{Label: strconv.Itoa(os.Getpid())}}
	for _, option := range options {
		option(&o)
	}
	ctx, cancel := background()
	defer cancel()
	if _, err := e.NetworkCreate(ctx, name, o); err != nil {
		tb.Fatalf("create network: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := background()
		defer cancel()
		if err := e.NetworkRemove(ctx, name); err != nil {
			tb.Errorf("remove network: %v", err)
		}
	})
	return name
}

// Connect attaches a container to one more network.
func (e *Engine) Connect(tb testing.TB, network string, c *Container) {
	tb.Helper()
	c.do(tb, "connect", func(ctx context.Context) error { return e.NetworkConnect(ctx, network, c.ID, nil) })
}

// Disconnect detaches a container from a network.
func (e *Engine) Disconnect(tb testing.TB, network string, c *Container) {
	tb.Helper()
	c.do(tb, "disconnect", func(ctx context.Context) error { return e.NetworkDisconnect(ctx, network, c.ID, true) })
}

// Compose gives the labels that docker compose puts on a replica of a service.
func Compose(project, service string, number int, labels map[string]string) map[string]string {
	all := map[string]string{
		"com.docker.compose.project":          project,
		"com.docker.compose.service":          service,
		"com.docker.compose.container-number": strconv.Itoa(number),
		"com.docker.compose.oneoff":           "False",
	}
	for k, v := range labels {
		all[k] = v
	}
	return all
}

// HealthEvery is a health check by the program itself, with its argument
// "health", at a short interval.
func HealthEvery(interval time.Duration) *container.HealthConfig {
	return &container.HealthConfig{
		Test: slices.Clone([]string{"CMD", "/app", "health"}), Interval: interval, Timeout: 5 * time.Second, Retries: 1,
	}
}
