package discovery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/events"

	"portway/route"
)

var errFault = errors.New("no such luck")

// settle lets a burst of changes pass and returns the table after it.
func (ts *tables) settle() *route.Table {
	time.Sleep(time.Second)
	synctest.Wait()
	t, _ := ts.last()
	return t
}

// servedBy gives the ID of the route that serves a host.
func servedBy(t *route.Table, host string) string {
	for _, r := range t.Routes() {
		if slices.Contains(r.Hosts, host) {
			return r.ID
		}
	}
	return "nobody"
}

// Who has a host keeps it, whoever else claims it, even if the claimant's
// container is older. While the holder is down, one that runs may have it.
func TestWhoHasAHostKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		old := newContainer("old", "portway.host=app.test") // the oldest, but not started yet
		holder := newContainer("holder", "portway.host=app.test")
		f.put(holder)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		want := func(what, id string) {
			t.Helper()
			if got := servedBy(ts.settle(), "app.test"); got != "container:"+id+"/default" {
				t.Errorf("%s: app.test is served by %s, want %s", what, got, id)
			}
		}
		want("alone", "holder")

		f.put(old)
		f.event(old, events.ActionStart)
		want("after another came", "holder")
		if table, _ := ts.last(); len(table.Problems()) != 1 || table.Problems()[0].Source != `container "old"` {
			t.Errorf("the newcomer is not told:\n%s", dump(table))
		}

		other := newContainer("other", "portway.host=other.test")
		f.put(other)
		f.event(other, events.ActionStart)
		want("after there were others", "holder")
		f.hangUp(nil)
		want("after the engine was away", "holder")

		holder.state = "exited"
		f.put(holder)
		f.event(holder, events.ActionDie)
		want("while the holder is down", "old")
		holder.state = "running"
		f.put(holder)
		f.event(holder, events.ActionStart)
		want("when the holder is back", "holder")

		f.remove(holder)
		f.event(holder, events.ActionDestroy)
		want("when the holder is gone", "old")
		f.put(holder)
		f.event(holder, events.ActionStart)
		want("when another one takes the name of the former holder", "old")
	})
}

// At the start, when nobody was there first, the older container has it, in
// whatever order the engine tells about them.
func TestOlderContainerHasTheHostAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		var all []*fakeContainer
		for _, name := range []string{"e", "d", "c", "b", "a"} {
			all = append(all, newContainer(name, "portway.host=app.test"))
		}
		f.put(all...)
		ts := start(t, Config{Engine: f})
		if got := servedBy(ts.settle(), "app.test"); got != "container:e/default" {
			t.Errorf("app.test is served by %s", got)
		}
	})
}

// The same if the engine is so slow about the older container that the younger
// one had to be served before.
func TestOlderContainerIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		older, younger := newContainer("older", "portway.host=app.test"), newContainer("younger", "portway.host=app.test")
		f.put(older, younger)
		f.setFault(func(_ context.Context, call, id string) error {
			if call == "inspect" && id == older.id {
				time.Sleep(3 * time.Second)
			}
			return nil
		})
		ts := start(t, Config{Engine: f})
		time.Sleep(2 * time.Second)
		if got := servedBy(ts.settle(), "app.test"); got != "container:younger/default" {
			t.Errorf("at first app.test is served by %s", got)
		}
		time.Sleep(time.Second)
		if got := servedBy(ts.settle(), "app.test"); got != "container:older/default" {
			t.Errorf("then app.test is served by %s", got)
		}
	})
}

// An inspection that is overtaken by an event does not count.
func TestOutdatedInspection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		c := newContainer("app", "portway.host=app.test")
		f.put(c)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		time.Sleep(time.Second)
		slow := true
		f.setFault(func(_ context.Context, call, _ string) error {
			if call == "inspect" && slow {
				slow = false
				time.Sleep(50 * time.Millisecond) // and then tell what was true before
			}
			return nil
		})
		f.event(c, events.ActionUnPause)
		time.Sleep(20 * time.Millisecond)
		c.state = "exited"
		f.put(c)
		f.event(c, events.ActionDie, "exitCode", "1")
		synctest.Wait()
		wantStates(t, ts.settle(), "container:app/default", map[string]route.State{"app": route.Stopped})
		for _, table := range ts.all[1:] {
			wantStates(t, table, "container:app/default", map[string]route.State{"app": route.Stopped})
		}
		if n := f.count("inspect"); n != 3 { // at the start, outdated, again
			t.Errorf("%d inspections", n)
		}
	})
}

// A container that is gone before it could be inspected (docker run --rm) leaves
// no trace.
func TestGoneBeforeInspection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		c := newContainer("short", "portway.host=short.test")
		for _, a := range []events.Action{events.ActionCreate, events.ActionStart, events.ActionKill, events.ActionDie, events.ActionDestroy} {
			f.event(c, a, "signal", "15")
		}
		if table := ts.settle(); len(table.Routes())+len(table.Problems()) != 0 {
			t.Errorf("it left:\n%s", dump(table))
		}
		if len(ts.w.entries) != 0 {
			t.Errorf("it left entries: %v", ts.w.entries)
		}
	})
}

// A stand-alone container's routes are known by its name, a replica's by its
// service.
func TestRename(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		alone := newContainer("alone", "portway.host=alone.test")
		replica := newContainer("blog-web-1", "portway.host=blog.test", "com.docker.compose.project=blog", "com.docker.compose.service=web")
		f.put(alone, replica)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		alone.name, replica.name = "renamed", "123_blog-web-1"
		f.put(alone, replica)
		f.event(alone, events.ActionRename)
		f.event(replica, events.ActionRename)
		table := ts.settle()
		wantStates(t, table, "container:alone/default", map[string]route.State{})
		wantStates(t, table, "container:renamed/default", map[string]route.State{"renamed": route.Ready})
		wantStates(t, table, "compose:blog/web/default", map[string]route.State{"123_blog-web-1": route.Ready})
	})
}

// Portway's own container that joins a network later can reach who is there,
// without any inspection of them.
func TestOwnNetworksChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		self, app := newContainer("portway"), newContainer("app", "portway.host=app.test")
		app.networks = map[string]string{"blog": "172.20.0.2"}
		f.put(self, app)
		ts := start(t, Config{Engine: f}, "0123456789ab", self.id[:12])
		synctest.Wait()
		table, _ := ts.last()
		wantStates(t, table, "container:app/default", map[string]route.State{"app": route.Unhealthy})
		f.count("inspect")
		self.networks["blog"] = "172.20.0.9"
		f.put(self)
		f.send(events.Message{Type: events.NetworkEventType, Action: events.ActionConnect, Actor: events.Actor{
			ID: "id-blog", Attributes: map[string]string{"container": self.id, "name": "blog"},
		}})
		table = ts.settle()
		wantStates(t, table, "container:app/default", map[string]route.State{"app": route.Ready})
		if n := f.count("inspect"); n != 1 {
			t.Errorf("%d inspections", n)
		}
		delete(self.networks, "blog")
		f.put(self)
		// As Podman says it.
		f.send(events.Message{Type: events.NetworkEventType, Action: events.ActionDisconnect, Actor: events.Actor{ID: self.id}})
		wantStates(t, ts.settle(), "container:app/default", map[string]route.State{"app": route.Unhealthy})
	})
}

// As long as the engine cannot tell which networks Portway is on, nobody is
// said to be on the wrong one.
func TestOwnContainerCannotBeInspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		self, app := newContainer("portway"), newContainer("app", "portway.host=app.test")
		f.put(self, app)
		f.setFault(func(_ context.Context, call, id string) error {
			if call == "inspect" && id == self.id {
				return errFault
			}
			return nil
		})
		ts := start(t, Config{Engine: f}, self.id)
		table := ts.settle()
		if !strings.Contains(dump(table), `container "portway": the engine cannot tell about it`) || !strings.Contains(dump(table), "not known yet which networks Portway is on") {
			t.Errorf("no word about it:\n%s", dump(table))
		}
		f.setFault(nil)
		time.Sleep(reinspectLimit)
		wantStates(t, ts.settle(), "container:app/default", map[string]route.State{"app": route.Ready})
	})
}

// The container whose network another one uses is followed, though it has no
// labels, and forgotten with the last that uses it.
func TestSharedNetworkIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		vpn, app := newContainer("vpn"), newContainer("app", "portway.host=app.test")
		app.mode, app.networks = "container:"+vpn.id, nil
		f.put(vpn, app)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		address := func() string { return ts.settle().Routes()[0].Upstreams[0].Address }
		if got, want := address(), vpn.networks["bridge"]+":80"; got != want {
			t.Errorf("address %s, want %s", got, want)
		}
		vpn.networks["bridge"] = "172.17.99.99"
		f.put(vpn)
		f.event(vpn, events.ActionStart)
		if got := address(); got != "172.17.99.99:80" {
			t.Errorf("address %s after the other one was started again", got)
		}
		f.remove(app)
		f.event(app, events.ActionDestroy)
		ts.settle()
		if len(ts.w.entries) != 0 {
			t.Errorf("entries stay: %v", ts.w.entries)
		}
	})
}

// While a service is replaced by one with other labels, the site changes over
// when the first new replica is ready, and not before.
func TestRollingLabelChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		replica := func(name, host string) *fakeContainer {
			return newContainer(name, "portway.host="+host, "com.docker.compose.project=blog", "com.docker.compose.service=web")
		}
		const id = "compose:blog/web/default"
		old1, old2 := replica("old-1", "old.test"), replica("old-2", "old.test")
		f.put(old1, old2)
		ts := start(t, Config{Engine: f})
		synctest.Wait()

		fresh := replica("new-1", "new.test")
		fresh.state = "created"
		f.put(fresh)
		f.event(fresh, events.ActionCreate)
		table := ts.settle()
		wantStates(t, table, id, map[string]route.State{"old-1": route.Ready, "old-2": route.Ready})

		fresh.state, fresh.health = "running", "starting"
		f.put(fresh)
		f.event(fresh, events.ActionStart)
		table = ts.settle()
		wantStates(t, table, id, map[string]route.State{"old-1": route.Ready, "old-2": route.Ready})

		fresh.health = "healthy"
		f.put(fresh)
		f.event(fresh, events.ActionHealthStatusHealthy)
		table = ts.settle()
		wantStates(t, table, id, map[string]route.State{"new-1": route.Ready})
		if servedBy(table, "new.test") != id || servedBy(table, "old.test") != "nobody" || len(table.Problems()) != 2 {
			t.Errorf("after the change:\n%s", dump(table))
		}
		for _, c := range []*fakeContainer{old1, old2} {
			f.remove(c)
			f.event(c, events.ActionDestroy)
		}
		if table = ts.settle(); len(table.Problems()) != 0 {
			t.Errorf("problems stay:\n%s", dump(table))
		}
	})
}

// A route that did not change stays the same, down to its middleware, whatever
// happens to others.
func TestUnchangedRouteStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		stays, changes := newContainer("stays", "portway.host=stays.test"), newContainer("changes", "portway.host=changes.test")
		f.put(stays, changes)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		made := func(name string) *route.Route { return ts.w.groups["container:"+name].routes[0].Route }
		s, c := made("stays"), made("changes")
		changes.networks["bridge"] = "172.17.99.99"
		f.put(changes)
		f.event(changes, events.ActionStart)
		f.event(stays, events.ActionHealthStatus) // as it was
		ts.settle()
		if made("stays") != s || made("changes") == c {
			t.Error("the wrong one of two routes was made anew")
		}
	})
}
