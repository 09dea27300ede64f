package discovery

import (
	"cmp"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/events"

	"portway/label"
	"portway/route"
)

// entry is all that Watch remembers about one container.
type entry struct {
	id   string
	name string    // as far as is known
	snap *snapshot // nil until it could be inspected

	source *route.Source // what people are told about it; nil until it was seen

	routes []route.Parsed // as its labels and the bundles that they use say
	parsed *route.Written // what routes were made of; nil: they are to be made anew

	defined *route.Written // where its bundles are from

	// What events told and no inspection after them yet.
	down     string        // why it died; empty if it did not
	stopping *stopping     // told to stop
	seq      int           // events so far: an inspection that began before the last is outdated
	problem  label.Problem // why it cannot be inspected; zero if it can
	failures int           // inspections that failed in a row
	stale    bool          // not known to be as it was, since the engine was away

	group  string          // where it is a member; empty: nowhere
	pinned bool            // our own container: kept though it has no labels
	users  map[string]bool // containers that use this one's network: kept for their sake
}

// stopping is a container that got its stop signal and has not ended.
type stopping struct {
	startedAt string    // of the run that was told
	until     time.Time // after this, one that still runs has ignored the signal
}

// state is the container's state by all that is known.
func (e *entry) state() (route.State, string) {
	switch {
	case e.down != "":
		return route.Stopped, e.down
	case e.stopping != nil && e.snap.state != route.Stopped:
		return route.Stopping, "was told to stop"
	}
	return e.snap.state, e.snap.reason
}

// ours tells whether labels have anything for Portway, misspelt or not. The
// attributes of an event may stand for labels, since they contain them.
func (w *watcher) ours(labels map[string]string) bool {
	if !w.rules.only.mayHold(labels) {
		return false
	}
	for k := range labels {
		if strings.HasPrefix(k, label.Prefix) {
			return true
		}
	}
	routes, problems := w.rules.parser.Schema().Group("", labels)
	return len(routes) > 0 || len(problems) > 0
}

// onEvent notes what an event tells, and has inspected what it names if it
// leaves anything open.
func (w *watcher) onEvent(m events.Message) {
	id := m.Actor.ID
	if m.Type == events.NetworkEventType {
		// Docker's names the network, and the container among the attributes;
		// Podman's names the container.
		if c := m.Actor.Attributes["container"]; c != "" {
			id = c
		}
	}
	e := w.entries[id]
	if e == nil {
		if m.Type != events.ContainerEventType || !w.ours(m.Actor.Attributes) {
			return
		}
		e = w.add(id, m.Actor.Attributes["name"])
	}
	action, _, _ := strings.Cut(string(m.Action), ":") // health_status: healthy
	switch events.Action(action) {
	case events.ActionDestroy, events.ActionRemove:
		w.drop(e)
		return
	case events.ActionKill:
		w.onKill(e, signalNumber(m.Actor.Attributes["signal"]))
		return
	case events.ActionDie, "died":
		e.down = "exited with code " + m.Actor.Attributes["exitCode"]
		w.changed(e)
		w.emits.hurry(time.Now())
	case events.ActionCreate, events.ActionStart, events.ActionStop, events.ActionPause, events.ActionUnPause,
		events.ActionHealthStatus, events.ActionRename, events.ActionConnect, events.ActionDisconnect:
		w.emits.touch(time.Now())
	default:
		return
	}
	e.seq++
	w.inspect(e)
}

// onKill takes a container out of service as soon as it is told to stop: the
// event comes before the signal has had any effect. It stays out until it ends,
// or until it has obviously ignored the signal.
func (w *watcher) onKill(e *entry, s syscall.Signal) {
	if e.snap == nil || !e.snap.stoppedBy(s) {
		return
	}
	const grace = 10 * time.Second
	until := time.Now().Add(e.snap.stopTimeout + grace)
	e.stopping = &stopping{startedAt: e.snap.startedAt, until: until}
	w.retries[e.id] = until
	w.changed(e)
	w.emits.hurry(time.Now())
}

// add begins to remember a container.
func (w *watcher) add(id, name string) *entry {
	e := &entry{id: id, name: cmp.Or(name, id[:min(12, len(id))]), users: make(map[string]bool)}
	w.entries[id] = e
	return e
}

// drop forgets a container that is gone.
func (w *watcher) drop(e *entry) {
	w.emits.join(time.Now())
	w.changed(e)
	w.leave(e)
	w.define(e, nil)
	if e.snap != nil {
		w.unuse(e, e.snap)
	}
	if w.self == e {
		w.self = nil
	}
	if e.problem != (label.Problem{}) || e.source != nil {
		w.dirty = true
	}
	delete(w.entries, e.id)
	delete(w.retries, e.id)
}

// changed has the routes made anew that depend on a container.
func (w *watcher) changed(e *entry) {
	if e.group != "" {
		w.dirtyGroups[e.group] = true
	}
	for id := range e.users {
		if u := w.entries[id]; u != nil && u.group != "" {
			w.dirtyGroups[u.group] = true
		}
	}
}

// regroup puts a container with a new snapshot where it belongs.
func (w *watcher) regroup(e *entry, old *snapshot) {
	if old != nil && old.net.mode != e.snap.net.mode {
		w.unuse(e, old)
	}
	w.use(e)
	w.define(e, e.snap)
	w.changed(e)
	key := e.snap.group
	if old == nil && e.snap.written.Off {
		w.log.Info("a container is left alone, as its label portway.enable says", "container", e.snap.name)
	}
	switch {
	case !e.snap.ours():
		key = ""
	case e.snap.oneOff:
		key = ""
		if old == nil {
			w.log.Info("a container of docker compose run is no replica of its service and gets no requests", "container", e.snap.name)
		}
	}
	if key != e.group {
		w.leave(e)
		w.join(e, key)
	}
	if key == "" {
		w.saw(e, nil)
	}
}

func (w *watcher) join(e *entry, key string) {
	if e.group = key; key == "" {
		return
	}
	g := w.groups[key]
	if g == nil {
		g = &group{key: key, title: e.snap.title, members: make(map[string]*entry)}
		w.groups[key] = g
	}
	g.members[e.id] = e
	w.dirtyGroups[key] = true
}

func (w *watcher) leave(e *entry) {
	g := w.groups[e.group]
	if g == nil {
		return
	}
	delete(g.members, e.id)
	w.dirtyGroups[e.group] = true
	if len(g.members) == 0 {
		delete(w.groups, e.group)
		w.dirty, w.unordered = true, true
	}
	e.group = ""
}

// use makes sure that the container whose network e uses is known.
func (w *watcher) use(e *entry) {
	target, ok := strings.CutPrefix(e.snap.net.mode, networkOf)
	if !ok {
		return
	}
	t := w.entries[target]
	if t == nil {
		t = w.add(target, "")
	}
	t.users[e.id] = true
	if t.snap == nil {
		w.inspect(t)
	}
}

// unuse undoes use.
func (w *watcher) unuse(e *entry, s *snapshot) {
	target, ok := strings.CutPrefix(s.net.mode, networkOf)
	if t := w.entries[target]; ok && t != nil {
		delete(t.users, e.id)
		if len(t.users) == 0 && !t.pinned && t.group == "" && t.snap != nil && !t.snap.ours() && len(t.snap.written.Bundles) == 0 {
			delete(w.entries, target)
			delete(w.retries, target)
		}
	}
}
