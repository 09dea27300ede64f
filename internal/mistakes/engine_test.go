package mistakes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/go-connections/nat"
	"gopkg.in/yaml.v3"

	"portway/discovery"
)

// spec is a container as a case describes it. What is not said is as with most: it runs,
// on the network bridge.
type spec struct {
	Name     string            `yaml:"name"`
	Labels   map[string]string `yaml:"labels"`
	Networks map[string]string `yaml:"networks"` // name → address
	Expose   []string          `yaml:"expose"`
	State    string            `yaml:"state"`
	Health   string            `yaml:"health"`
	Exit     int               `yaml:"exit"`
	Portway  bool              `yaml:"portway"` // this is Portway's own
}

// engine answers as Docker does.
type engine struct {
	all    []spec
	fail   error
	socket string
}

var _ discovery.Engine = (*engine)(nil)

func newEngine(t *testing.T, text string) (e *engine, self string) {
	t.Helper()
	e = &engine{}
	if err := yaml.Unmarshal([]byte(text), &e.all); err != nil {
		t.Fatal(err)
	}
	for i, s := range e.all {
		if s.Portway {
			self = id(i)
		}
	}
	return e, self
}

func id(i int) string { return fmt.Sprintf("%064x", i+1) }

func (e *engine) DaemonHost() string { return "unix://" + e.socket }

func (e *engine) Ping(context.Context) (types.Ping, error)  { return types.Ping{}, e.fail }
func (e *engine) Info(context.Context) (system.Info, error) { return system.Info{}, nil }

func (e *engine) Events(context.Context, events.ListOptions) (<-chan events.Message, <-chan error) {
	return nil, nil
}

func (e *engine) ContainerList(context.Context, container.ListOptions) ([]container.Summary, error) {
	all := make([]container.Summary, 0, len(e.all))
	for i, s := range e.all {
		all = append(all, container.Summary{ID: id(i), Names: []string{"/" + s.Name}, Labels: s.Labels})
	}
	return all, nil
}

func (e *engine) ContainerInspect(_ context.Context, want string) (container.InspectResponse, error) {
	for i, s := range e.all {
		if id(i) == want {
			return s.inspect(i), nil
		}
	}
	return container.InspectResponse{}, errors.New("no such container")
}

func (s spec) inspect(i int) container.InspectResponse {
	networks := make(map[string]*network.EndpointSettings)
	if s.Networks == nil {
		s.Networks = map[string]string{"bridge": "127.0.0.1"}
	}
	mode := "bridge"
	for name, ip := range s.Networks {
		networks[name] = &network.EndpointSettings{NetworkID: "id-" + name, IPAddress: ip, Gateway: netip.MustParseAddr("172.17.0.1").String()}
		if mode == "bridge" {
			mode = name
		}
	}
	ports := nat.PortSet{}
	for _, p := range s.Expose {
		ports[nat.Port(p+"/tcp")] = struct{}{}
	}
	state := &container.State{Status: container.StateRunning, Running: true, StartedAt: "then"}
	switch s.State {
	case "restarting":
		state.Status, state.Restarting, state.ExitCode = s.State, true, s.Exit
	case "exited":
		state.Status, state.Running, state.ExitCode = s.State, false, s.Exit
	}
	if s.Health != "" {
		state.Health = &container.Health{Status: s.Health}
	}
	return container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: id(i), Name: "/" + s.Name, Created: time.Unix(1_700_000_000+int64(i), 0).UTC().Format(time.RFC3339Nano), State: state,
			HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(strings.ToLower(mode))},
		},
		Config:          &container.Config{Labels: s.Labels, ExposedPorts: ports},
		NetworkSettings: &container.NetworkSettings{Networks: networks},
	}
}

// oldEngine is one over a real socket that speaks an API of before 20.10; what it knows is
// what e does.
func oldEngine(t *testing.T, e *engine, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(context.Background())
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.serve(ended, w, r) })} //nolint:gosec // only this test asks
	done := make(chan struct{})
	go func() {
		_ = s.Serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		end()
		_ = s.Close()
		<-done
	})
}

// serve answers as an engine of 18.06 does.
func (e *engine) serve(ended context.Context, w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1.38")
	w.Header().Set("Api-Version", "1.38")
	var answer any
	var err error
	switch path {
	case "/_ping":
		_, _ = w.Write([]byte("OK"))
		return
	case "/events":
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-ended.Done():
		}
		return
	case "/info":
		answer = map[string]any{"ServerVersion": "18.06.3-ce"}
	case "/containers/json":
		answer, err = e.ContainerList(r.Context(), container.ListOptions{All: true})
	default:
		answer, err = e.ContainerInspect(r.Context(), strings.TrimSuffix(strings.TrimPrefix(path, "/containers/"), "/json"))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}
