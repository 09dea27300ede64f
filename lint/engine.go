package lint

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/go-connections/nat"

	"portway/discovery"
)

// engine answers as one would on which all services run and are well.
type engine struct {
	self       string // ID of Portway's container; empty if there is none
	containers []container.InspectResponse
}

var _ discovery.Engine = (*engine)(nil)

// guessed is the port of services whose images have to say it.
const guessed = nat.Port("80/tcp")

func newEngine(l *linter) *engine {
	e := &engine{}
	began := time.Unix(0, 0)
	for i, s := range l.services {
		c := s.inspect(l, i)
		c.Created = began.Add(time.Duration(i) * time.Second).UTC().Format(time.RFC3339Nano)
		e.containers = append(e.containers, c)
		if s == l.portway {
			e.self = c.ID
		}
	}
	if l.portway == nil && len(l.cfg.Networks) > 0 {
		e.self = idOf("portway")
		e.containers = append(e.containers, container.InspectResponse{
			ContainerJSONBase: &container.ContainerJSONBase{ID: e.self, Name: "/portway", State: running(), HostConfig: &container.HostConfig{NetworkMode: "bridge"}},
			Config:            &container.Config{}, NetworkSettings: &container.NetworkSettings{Networks: endpoints(l.cfg.Networks, len(l.services))},
		})
	}
	return e
}

// inspect gives what an engine would tell about the service's container.
func (s *service) inspect(l *linter, n int) container.InspectResponse {
	r := container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{ID: idOf(s.container), Name: "/" + s.container, State: running(), HostConfig: &container.HostConfig{}},
		Config:            &container.Config{Labels: s.labels, ExposedPorts: nat.PortSet{}},
		NetworkSettings:   &container.NetworkSettings{},
	}
	r.NetworkSettings.Ports = nat.PortMap{}
	var networks []string
	r.HostConfig.NetworkMode, networks = s.networks(l)
	r.NetworkSettings.Networks = endpoints(networks, n)
	for _, x := range s.Expose {
		port, proto, _ := strings.Cut(x, "/")
		if p, err := nat.NewPort(orTCP(proto), port); err == nil {
			r.Config.ExposedPorts[p] = struct{}{}
		}
	}
	for _, x := range s.Ports {
		p, err := nat.NewPort(orTCP(x.Protocol), strconv.Itoa(int(x.Target)))
		if err != nil {
			continue
		}
		r.Config.ExposedPorts[p] = struct{}{}
		host, _, _ := strings.Cut(x.Published, "-")
		if host != "" {
			r.NetworkSettings.Ports[p] = append(r.NetworkSettings.Ports[p], nat.PortBinding{HostIP: x.HostIP, HostPort: host})
		}
	}
	built, known := s.exposed()
	for _, p := range built {
		r.Config.ExposedPorts[p] = struct{}{}
	}
	tcp := known
	for p := range r.Config.ExposedPorts {
		tcp = tcp || p.Proto() == "tcp"
	}
	if !tcp {
		s.unknown = true
		r.Config.ExposedPorts[guessed] = struct{}{}
	}
	return r
}

func orTCP(proto string) string {
	if proto == "" {
		return "tcp"
	}
	return proto
}

// networks gives the network mode of the service's container and what it is on. As
// Compose does, the network that comes first is the mode.
func (s *service) networks(l *linter) (container.NetworkMode, []string) {
	mode := s.NetworkMode
	if other, ok := strings.CutPrefix(mode, ofService); ok {
		for _, o := range l.services {
			if o.project == s.project && o.Name == other {
				return container.NetworkMode("container:" + idOf(o.container)), nil
			}
		}
	}
	if other, ok := strings.CutPrefix(mode, "container:"); ok {
		return container.NetworkMode("container:" + idOf(other)), nil
	}
	switch mode {
	case "host", "none":
		return container.NetworkMode(mode), []string{mode}
	case "":
	default:
		return container.NetworkMode(mode), []string{mode}
	}
	var names []string
	for _, key := range s.NetworksByPriority() {
		name := key
		if n, ok := s.project.Networks[key]; ok && n.Name != "" {
			name = n.Name
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		names = []string{s.project.Name + "_default"}
	}
	return container.NetworkMode(names[0]), names
}

const ofService = "service:"

// endpoints gives the n-th container an address on networks.
func endpoints(names []string, n int) map[string]*network.EndpointSettings {
	all := make(map[string]*network.EndpointSettings, len(names))
	for i, name := range names {
		if name == "none" || name == "host" {
			all[name] = &network.EndpointSettings{NetworkID: name}
			continue
		}
		address := netip.AddrFrom4([4]byte{10, byte(i), byte(n >> 8), byte(n)}).Next().Next()
		all[name] = &network.EndpointSettings{NetworkID: name, IPAddress: address.String(), Gateway: "10.0.0.1"}
	}
	return all
}

func running() *container.State {
	return &container.State{Status: container.StateRunning, Running: true, StartedAt: "now"}
}

// idOf makes an ID like those of engines.
func idOf(name string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(name))) }

// Ping says that it is there.
func (e *engine) Ping(context.Context) (types.Ping, error) {
	return types.Ping{APIVersion: "1.41"}, nil
}

// Info says nothing of note.
func (e *engine) Info(context.Context) (system.Info, error) { return system.Info{}, nil }

// ContainerList lists one container for each service.
func (e *engine) ContainerList(context.Context, container.ListOptions) ([]container.Summary, error) {
	list := make([]container.Summary, len(e.containers))
	for i, c := range e.containers {
		list[i] = container.Summary{
			ID: c.ID, Names: []string{c.Name}, Labels: c.Config.Labels, State: c.State.Status, Status: "Up",
			NetworkSettings: &container.NetworkSettingsSummary{Networks: c.NetworkSettings.Networks},
		}
	}
	return list, nil
}

// ContainerInspect tells about one.
func (e *engine) ContainerInspect(_ context.Context, id string) (container.InspectResponse, error) {
	for _, c := range e.containers {
		if c.ID == id {
			return c, nil
		}
	}
	return container.InspectResponse{}, fmt.Errorf("no such container: %w", cerrdefs.ErrNotFound)
}

// Events never has any.
func (e *engine) Events(context.Context, events.ListOptions) (<-chan events.Message, <-chan error) {
	return make(chan events.Message), make(chan error)
}
