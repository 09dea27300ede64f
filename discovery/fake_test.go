package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/go-connections/nat"

	"portway/route"
)

// fakeEngine is an engine in memory, for what a real one does too rarely or too
// slowly. It works in a synctest bubble; serve puts it behind a socket.
type fakeEngine struct {
	mu         sync.Mutex
	containers map[string]json.RawMessage // answers to inspect
	summaries  map[string]json.RawMessage // items of the list
	info       json.RawMessage
	subs       map[chan events.Message]chan error
	calls      map[string]int

	fault func(ctx context.Context, call, id string) error // may block
}

var _ Engine = (*fakeEngine)(nil)

func newFakeEngine() *fakeEngine {
	return &fakeEngine{
		containers: make(map[string]json.RawMessage), summaries: make(map[string]json.RawMessage),
		info: json.RawMessage("{}"), subs: make(map[chan events.Message]chan error), calls: make(map[string]int),
	}
}

func (f *fakeEngine) called(ctx context.Context, call, id string) error {
	f.mu.Lock()
	f.calls[call]++
	fault := f.fault
	f.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(ctx, call, id)
}

// count returns how often a call was made since the last count of it.
func (f *fakeEngine) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.calls[call]
	f.calls[call] = 0
	return n
}

func (f *fakeEngine) setFault(fault func(ctx context.Context, call, id string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *fakeEngine) Ping(ctx context.Context) (types.Ping, error) {
	return types.Ping{APIVersion: "1.41"}, f.called(ctx, "ping", "")
}

func (f *fakeEngine) Info(ctx context.Context) (info system.Info, err error) {
	if err := f.called(ctx, "info", ""); err != nil {
		return info, err
	}
	return info, json.Unmarshal(f.info, &info)
}

func (f *fakeEngine) ContainerList(ctx context.Context, o container.ListOptions) (list []container.Summary, err error) {
	if err := f.called(ctx, "list", ""); err != nil {
		return nil, err
	}
	if !o.All {
		return nil, fmt.Errorf("list without those that are stopped")
	}
	return list, json.Unmarshal(f.list(), &list)
}

func (f *fakeEngine) list() json.RawMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	items := slices.Collect(maps.Values(f.summaries))
	text, _ := json.Marshal(items)
	return text
}

func (f *fakeEngine) ContainerInspect(ctx context.Context, id string) (r container.InspectResponse, err error) {
	f.mu.Lock()
	text, ok := f.containers[id] // and then it may take its time
	f.mu.Unlock()
	if err := f.called(ctx, "inspect", id); err != nil {
		return r, err
	}
	if !ok {
		return r, fmt.Errorf("no such container: %w", cerrdefs.ErrNotFound)
	}
	return r, json.Unmarshal(text, &r)
}

func (f *fakeEngine) Events(ctx context.Context, _ events.ListOptions) (<-chan events.Message, <-chan error) {
	out, errs := make(chan events.Message), make(chan error, 1)
	if err := f.called(ctx, "events", ""); err != nil {
		errs <- err
		return out, errs
	}
	in, lost := make(chan events.Message, 10_000), make(chan error, 1)
	f.mu.Lock()
	f.subs[in] = lost
	f.mu.Unlock()
	go func() {
		defer func() {
			f.mu.Lock()
			delete(f.subs, in)
			f.mu.Unlock()
		}()
		for {
			select {
			case m := <-in:
				select {
				case out <- m:
				case <-ctx.Done():
					errs <- ctx.Err()
					return
				}
			case err := <-lost:
				errs <- err
				return
			case <-ctx.Done():
				errs <- ctx.Err()
				return
			}
		}
	}()
	return out, errs
}

// hangUp ends all event streams.
func (f *fakeEngine) hangUp(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, lost := range f.subs {
		lost <- err
	}
}

func (f *fakeEngine) send(m events.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for in := range f.subs {
		in <- m
	}
}

// event sends an event about a container, with attributes as the engine does.
func (f *fakeEngine) event(c *fakeContainer, action events.Action, attributes ...string) {
	all := map[string]string{"name": c.name, "image": "app"}
	maps.Copy(all, c.labels)
	for i := 0; i < len(attributes); i += 2 {
		all[attributes[i]] = attributes[i+1]
	}
	f.send(events.Message{Type: events.ContainerEventType, Action: action, Actor: events.Actor{ID: c.id, Attributes: all}})
}

// fakeContainer is a container by the few things that matter.
type fakeContainer struct {
	id, name  string
	labels    map[string]string
	state     string
	exitCode  int
	health    string
	startedAt string
	created   time.Time
	mode      string
	networks  map[string]string // name → IPv4
	expose    []string
	stop      string // signal
	timeout   *int
}

var fakeIDs = struct {
	sync.Mutex
	n int
}{}

// newContainer makes a running container on the network "bridge" which exposes
// port 80.
func newContainer(name string, labels ...string) *fakeContainer {
	fakeIDs.Lock()
	fakeIDs.n++
	n := fakeIDs.n
	fakeIDs.Unlock()
	c := &fakeContainer{
		id: fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(n)))), name: name, state: container.StateRunning, startedAt: "first",
		created: time.Unix(1_700_000_000+int64(n), 0), mode: "default",
		networks: map[string]string{"bridge": fmt.Sprintf("172.17.%d.%d", n>>8&255, n&255)}, expose: []string{"80/tcp"},
		labels: make(map[string]string),
	}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		c.labels[k] = v
	}
	return c
}

// put makes the engine know the container as it is now.
func (f *fakeEngine) put(cs ...*fakeContainer) {
	for _, c := range cs {
		summary, response := c.documents()
		f.mu.Lock()
		f.summaries[c.id], f.containers[c.id] = summary, response
		f.mu.Unlock()
	}
}

func (f *fakeEngine) remove(c *fakeContainer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.summaries, c.id)
	delete(f.containers, c.id)
}

func (c *fakeContainer) documents() (summary, response json.RawMessage) {
	networks := make(map[string]*network.EndpointSettings)
	for name, ip := range c.networks {
		networks[name] = &network.EndpointSettings{NetworkID: "id-" + name, IPAddress: ip, Gateway: "172.17.0.1"}
	}
	s := container.Summary{
		ID: c.id, Names: []string{"/" + c.name}, Labels: c.labels, State: c.state, Created: c.created.Unix(),
		Status: "Up 2 minutes", NetworkSettings: &container.NetworkSettingsSummary{Networks: networks},
	}
	r := container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: c.id, Name: "/" + c.name, Created: c.created.Format(time.RFC3339Nano),
			State: &container.State{
				Status: c.state, Running: c.state == container.StateRunning || c.state == container.StatePaused,
				Paused: c.state == container.StatePaused, ExitCode: c.exitCode, StartedAt: c.startedAt,
			},
			HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(c.mode)},
		},
		Config:          &container.Config{Labels: c.labels, StopSignal: c.stop, StopTimeout: c.timeout, ExposedPorts: nat.PortSet{}},
		NetworkSettings: &container.NetworkSettings{Networks: networks},
	}
	for _, p := range c.expose {
		r.Config.ExposedPorts[nat.Port(p)] = struct{}{}
	}
	if c.health != "" {
		r.State.Health = &container.Health{Status: c.health}
		s.Status += " (" + strings.Replace(c.health, container.Starting, "health: starting", 1) + ")"
	}
	summary, _ = json.Marshal(s)
	response, _ = json.Marshal(r)
	return summary, response
}

// tables collects what Watch emits.
type tables struct {
	tb    testing.TB
	w     *watcher
	limit time.Duration // for until
	mu    sync.Mutex
	all   []*route.Table
	more  chan struct{}
	stop  func()
}

// start runs a watcher until the test ends, or stop is called.
func start(tb testing.TB, cfg Config, hints ...string) *tables {
	tb.Helper()
	ts := &tables{tb: tb, limit: 45 * time.Second, more: make(chan struct{}, 1)}
	w := newWatcher(cfg, func(t *route.Table) {
		ts.mu.Lock()
		ts.all = append(ts.all, t)
		ts.mu.Unlock()
		select {
		case ts.more <- struct{}{}:
		default:
		}
	})
	w.hints = hints
	ts.w = w
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.run(ctx); err != nil {
			tb.Errorf("watch: %v", err)
		}
	}()
	ts.stop = func() {
		cancel()
		<-done
	}
	tb.Cleanup(ts.stop)
	return ts
}

// last returns the newest table, or nil, and how many there were.
func (ts *tables) last() (*route.Table, int) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.all) == 0 {
		return nil, 0
	}
	return ts.all[len(ts.all)-1], len(ts.all)
}

// forget drops all tables but the last.
func (ts *tables) forget() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.all = ts.all[len(ts.all)-1:]
}

// until waits for a table that satisfies ok.
func (ts *tables) until(what string, ok func(*route.Table) bool) *route.Table {
	ts.tb.Helper()
	timeout := time.After(ts.limit)
	for {
		if t, _ := ts.last(); t != nil && ok(t) {
			return t
		}
		select {
		case <-ts.more:
		case <-timeout:
			t, n := ts.last()
			ts.tb.Fatalf("no table %s within %v; the last of %d:\n%s", what, ts.limit, n, dump(t))
		}
	}
}

// dump writes a table for people and golden files.
func dump(t *route.Table) string {
	if t == nil {
		return "no table\n"
	}
	var b strings.Builder
	for _, r := range t.Routes() {
		fmt.Fprintf(&b, "route %s %q from %s: %s%s, https %s\n", r.ID, r.Name, r.Source, strings.Join(r.Hosts, ","), r.Path, r.HTTPS)
		for _, m := range r.Middleware {
			if m, ok := m.(*tagged); ok && !reflect.DeepEqual(m, &tagged{}) {
				fmt.Fprintf(&b, "  tags %q, health.path %q\n", m.tags, m.path)
			}
		}
		for _, u := range r.Upstreams {
			fmt.Fprintf(&b, "  %s %s %s %s", u.Name, u.Scheme, u.Address, u.State)
			if u.Reason != "" {
				fmt.Fprintf(&b, " (%s)", u.Reason)
			}
			b.WriteByte('\n')
		}
	}
	for _, p := range t.Problems() {
		fmt.Fprintf(&b, "problem %s\n", p)
	}
	return b.String()
}

// dumpSources is what golden files have under saw.
func dumpSources(t *route.Table) string {
	all := slices.Clone(t.Sources())
	slices.SortFunc(all, func(a, b *route.Source) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s %s, of %s: %s", s.Kind, s.Name, s.Service, s.State)
		for _, text := range []string{s.Reason, s.Left} {
			if text != "" {
				fmt.Fprintf(&b, " (%s)", text)
			}
		}
		fmt.Fprintf(&b, "\n  mode %q, exposed %v, published %q\n", s.Mode, s.Exposed, s.Published)
		for _, n := range s.Networks {
			fmt.Fprintf(&b, "  network %s %s, shared %v\n", n.Name, n.IP, n.Shared)
		}
		dumpSettings(&b, "  label", s.Settings)
		for _, p := range s.Parts {
			c := p.Choice
			fmt.Fprintf(&b, "  route %q is %q: address %q, since %s; network %q; port %d, since %s\n", p.Name, p.RouteID, c.Address, c.Why, c.Network, c.Port, c.PortWhy)
			dumpSettings(&b, "    option", p.Settings)
		}
	}
	return b.String()
}

func dumpSettings(b *strings.Builder, what string, all []route.Setting) {
	for _, s := range all {
		value := fmt.Sprintf("%q", s.Value)
		if s.Hidden {
			value = "hidden"
		}
		fmt.Fprintf(b, "%s %s (%s) = %s %s\n", what, s.Key, s.Option, value, s.From)
	}
}

// states gives the states of all upstreams of the route with an ID, by name.
func states(t *route.Table, id string) map[string]route.State {
	all := make(map[string]route.State)
	for _, r := range t.Routes() {
		if r.ID == id {
			for _, u := range r.Upstreams {
				all[u.Name] = u.State
			}
		}
	}
	return all
}
