package discovery

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"golang.org/x/sys/unix"

	"portway/label"
	"portway/route"
)

// Labels of Compose and Swarm that tell which containers are replicas of one
// service.
const (
	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
	composeOneOff  = "com.docker.compose.oneoff"
	swarmService   = "com.docker.swarm.service.name"
	swarmStack     = "com.docker.stack.namespace"
)

// snapshot is what one inspection told about a container. It is never changed.
type snapshot struct {
	id      string
	name    string
	created time.Time

	group   string // whose replica it is, as in route.Route.ID
	title   string // the same for people
	project string // of Compose; may be empty
	oneOff  bool   // docker compose run: not a replica, though it has all labels

	signature string // all that its labels say to Portway: equal for equal routes
	written   *route.Written
	settings  []route.Setting // its labels for Portway
	routes    []route.Parsed  // nil if they depend on bundles, see watcher.parse

	state     route.State
	reason    string
	startedAt string

	stopSignal  syscall.Signal
	stopTimeout time.Duration

	net  attachments
	mark string // see fingerprint
}

// attachments is where a container can be reached.
type attachments struct {
	mode      string // network mode: "host", "none", a network's name, or "container:ID"
	networks  []attachment
	exposed   []int // TCP ports by EXPOSE, sorted
	published []binding
}

// attachment is a container's place in a network.
type attachment struct {
	name, id string
	ip       netip.Addr // IPv4, or IPv6 where there is no other; invalid while it is not running
	gateway  netip.Addr // may be invalid
}

// binding is a published port.
type binding struct {
	port   int // in the container
	hostIP netip.Addr
	host   int
}

// errNoContainer is for answers that parse as JSON, and are something else.
var errNoContainer = errors.New("the engine's answer does not describe a container")

// rules are the settings by which containers are read.
type rules struct {
	parser *route.Parser
	only   Constraint
	host   HostRule
}

// newSnapshot reads the engine's answer. old is what was known before and may
// be nil: labels never change, so that its routes can be used again.
func newSnapshot(r container.InspectResponse, by *rules, old *snapshot) (*snapshot, error) {
	if r.ContainerJSONBase == nil || r.ID == "" || r.State == nil || r.Config == nil {
		return nil, errNoContainer
	}
	labels := r.Config.Labels
	s := &snapshot{
		id:          r.ID,
		name:        strings.TrimPrefix(r.Name, "/"),
		project:     labels[composeProject],
		oneOff:      strings.EqualFold(labels[composeOneOff], "true"),
		signature:   signature(labels),
		startedAt:   r.State.StartedAt,
		stopSignal:  signalNumber(r.Config.StopSignal),
		stopTimeout: 10 * time.Second, // the engine's own default
		net:         newAttachments(r),
	}
	s.created, _ = time.Parse(time.RFC3339Nano, r.Created)
	if t := r.Config.StopTimeout; t != nil && *t >= 0 {
		s.stopTimeout = time.Duration(*t) * time.Second
	}
	s.group, s.title = groupOf(s.name, labels)
	s.state, s.reason = stateOf(r.State)
	if old != nil && old.signature == s.signature && old.name == s.name {
		s.written, s.routes, s.settings = old.written, old.routes, old.settings
	} else {
		s.read(labels, by)
	}
	if s.written.Default && by.host.has(ofContainer) {
		s.group, s.title = groupOf(s.name, nil) // replicas of a service have different hosts
	}
	health := ""
	if r.State.Health != nil {
		health = r.State.Health.Status
	}
	var networks map[string]*network.EndpointSettings
	if r.NetworkSettings != nil {
		networks = r.NetworkSettings.Networks
	}
	s.mark = fingerprint(s.name, r.State.Status, health, networks)
	return s, nil
}

// read takes in what labels say, as far as that is for us.
func (s *snapshot) read(labels map[string]string, by *rules) {
	s.settings = by.parser.Settings(labels)
	if !by.only.holds(labels) {
		s.written = &route.Written{}
		return
	}
	var host func() (string, error)
	if len(by.host.parts) > 0 {
		host = func() (string, error) {
			service, project := serviceOf(labels)
			return by.host.host(s.name, service, project)
		}
	}
	s.written = by.parser.Read(sourceOf(s.name), labels, host)
	if !slices.ContainsFunc(s.written.Drafts, func(d route.Draft) bool { return len(d.Uses) > 0 }) {
		for i := range s.written.Drafts {
			s.routes = append(s.routes, by.parser.Parse(&s.written.Drafts[i], nil))
		}
	}
}

// serviceOf gives the names of the Compose or Swarm service that a container
// belongs to, and of its project or stack; empty where there is none.
func serviceOf(labels map[string]string) (service, project string) {
	if s := labels[swarmService]; s != "" {
		return strings.TrimPrefix(s, labels[swarmStack]+"_"), labels[swarmStack]
	}
	return labels[composeService], labels[composeProject]
}

// sourceOf names a container for people, as in label.Problem.
func sourceOf(name string) string { return fmt.Sprintf("container %q", name) }

// signature is all labels that can mean something to Portway, in a fixed order.
func signature(labels map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if strings.HasPrefix(k, label.Prefix) {
			fmt.Fprintf(&b, "%q=%q ", k, labels[k])
		}
	}
	return b.String()
}

// groupOf tells whose replica a container is: of a Swarm service, of a Compose
// service, or of nobody.
func groupOf(name string, labels map[string]string) (key, title string) {
	if s := labels[swarmService]; s != "" {
		return "swarm:" + s, s
	}
	if p, s := labels[composeProject], labels[composeService]; p != "" && s != "" {
		return "compose:" + p + "/" + s, p + "/" + s
	}
	return "container:" + name, name
}

// stateOf translates the engine's view of a container.
func stateOf(s *container.State) (route.State, string) {
	switch {
	case s.Restarting:
		return route.Starting, fmt.Sprintf("is restarting after it exited with code %d", s.ExitCode)
	case s.Paused:
		return route.Paused, "is paused"
	case s.Running && s.Health != nil && s.Health.Status == container.Starting:
		return route.Starting, "has not passed its health check yet"
	case s.Running && s.Health != nil && s.Health.Status == container.Unhealthy:
		return route.Unhealthy, "fails its health check"
	case s.Running:
		return route.Ready, ""
	case s.Status == container.StateCreated:
		return route.Stopped, "was created, but not started"
	case s.OOMKilled:
		return route.Stopped, "ran out of memory and was killed"
	}
	return route.Stopped, fmt.Sprintf("exited with code %d", s.ExitCode)
}

// signalNumber reads a STOPSIGNAL, which may be a name, with or without SIG, or
// a number; SIGTERM is the default.
func signalNumber(text string) syscall.Signal {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return syscall.Signal(n)
	}
	name := strings.ToUpper(text)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if rest, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		n, _ := strconv.Atoi(rest)
		return syscall.Signal(34 + n) // as the engine counts, and the C library
	}
	if s := unix.SignalNum(name); s != 0 {
		return s
	}
	return syscall.SIGTERM
}

// ours tells whether the container's labels have anything for Portway.
func (s *snapshot) ours() bool { return len(s.written.Drafts) > 0 || len(s.written.Problems) > 0 }

// depends tells whether its routes depend on bundles.
func (s *snapshot) depends() bool { return s.routes == nil && len(s.written.Drafts) > 0 }

// running tells whether the container's main process is there.
func (s *snapshot) running() bool { return s.state != route.Stopped }

// stoppedBy tells whether a signal ends the container.
func (s *snapshot) stoppedBy(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL, s.stopSignal:
		return true
	}
	return false
}

func newAttachments(r container.InspectResponse) attachments {
	var a attachments
	if r.HostConfig != nil {
		a.mode = string(r.HostConfig.NetworkMode)
	}
	for port := range r.Config.ExposedPorts {
		if port.Proto() == "tcp" && port.Int() > 0 {
			a.exposed = append(a.exposed, port.Int())
		}
	}
	slices.Sort(a.exposed)
	if r.NetworkSettings == nil {
		return a
	}
	for name, n := range r.NetworkSettings.Networks {
		if n == nil {
			continue
		}
		a.networks = append(a.networks, attachment{
			name: name, id: n.NetworkID,
			ip:      firstAddr(n.IPAddress, n.GlobalIPv6Address),
			gateway: firstAddr(n.Gateway, n.IPv6Gateway),
		})
	}
	slices.SortFunc(a.networks, func(x, y attachment) int { return strings.Compare(x.name, y.name) })
	for port, bindings := range r.NetworkSettings.Ports {
		for _, b := range bindings {
			host, err := strconv.Atoi(b.HostPort)
			if port.Proto() != "tcp" || err != nil || host < 1 || host > 65535 {
				continue
			}
			a.published = append(a.published, binding{port: port.Int(), hostIP: firstAddr(b.HostIP), host: host})
		}
	}
	slices.SortFunc(a.published, compareBindings)
	return a
}

// firstAddr returns the first text that is an address.
func firstAddr(texts ...string) netip.Addr {
	for _, t := range texts {
		if a, err := netip.ParseAddr(t); err == nil {
			return a
		}
	}
	return netip.Addr{}
}

// fingerprint is all that changes about a container in the course of its life,
// as far as both the list of containers and an inspection tell it: where they
// agree, nothing needs to be inspected.
func fingerprint(name, state, health string, networks map[string]*network.EndpointSettings) string {
	if health == container.NoHealthcheck || state != container.StateRunning {
		health = ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", name, state, health)
	for _, n := range slices.Sorted(maps.Keys(networks)) {
		if e := networks[n]; e != nil {
			fmt.Fprintf(&b, " %s %s %s %s", n, e.NetworkID, e.IPAddress, e.GlobalIPv6Address)
		}
	}
	return b.String()
}

// listed gives the fingerprint of a container in a list.
func listed(s container.Summary) string {
	health := ""
	for _, h := range []string{container.Healthy, container.Unhealthy, container.Starting} {
		if strings.HasSuffix(s.Status, "("+h+")") || strings.HasSuffix(s.Status, "(health: "+h+")") {
			health = h
		}
	}
	var networks map[string]*network.EndpointSettings
	if s.NetworkSettings != nil {
		networks = s.NetworkSettings.Networks
	}
	return fingerprint(nameOf(s), s.State, health, networks)
}

func nameOf(s container.Summary) string {
	for _, n := range s.Names {
		// The others are aliases by links, /of-other/alias.
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}
