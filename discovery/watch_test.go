package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/events"

	"portway/route"
)

// emitted tells how many tables came within a time.
func (ts *tables) emitted(within time.Duration) int {
	_, before := ts.last()
	time.Sleep(within)
	synctest.Wait()
	_, after := ts.last()
	return after - before
}

func wantStates(t *testing.T, got *route.Table, id string, want map[string]route.State) {
	t.Helper()
	if have := states(got, id); !maps.Equal(have, want) {
		t.Errorf("route %s: upstreams %v, want %v\n%s", id, have, want, dump(got))
	}
}

// The first table comes as soon as everything has been read, without any delay.
func TestFirstTableAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		f.put(newContainer("a", "portway.host=a.test"), newContainer("b", "portway.host=b.test"), newContainer("db"))
		began := time.Now()
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		table, n := ts.last()
		if n != 1 || len(table.Routes()) != 2 || time.Since(began) != 0 {
			t.Errorf("%d tables after %v, last:\n%s", n, time.Since(began), dump(table))
		}
		if n := f.count("inspect"); n != 2 {
			t.Errorf("%d inspections: containers without labels are none of our business", n)
		}
	})
}

// An event costs one inspection of what it names, and no list.
func TestOneInspectionPerEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		var all []*fakeContainer
		for i := range 1000 {
			c := newContainer(fmt.Sprintf("c%d", i), fmt.Sprintf("portway.host=c%d.test", i))
			all = append(all, c)
		}
		f.put(all...)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		f.count("inspect")
		f.count("list")
		c := all[500]
		c.health = "unhealthy"
		f.put(c)
		f.event(c, events.ActionHealthStatusUnhealthy)
		if n := ts.emitted(time.Second); n != 1 {
			t.Errorf("%d tables for one event", n)
		}
		if inspect, list := f.count("inspect"), f.count("list"); inspect != 1 || list != 0 {
			t.Errorf("one event cost %d inspections and %d lists", inspect, list)
		}
		table, _ := ts.last()
		wantStates(t, table, "container:c500/default", map[string]route.State{"c500": route.Unhealthy})

		// Events that change nothing, or about containers of others, cost nothing.
		other := newContainer("other")
		f.event(other, events.ActionStart)
		f.event(c, events.ActionKill, "signal", "1")
		f.event(c, "exec_create: /healthcheck")
		f.send(events.Message{Type: events.NetworkEventType, Action: events.ActionConnect, Actor: events.Actor{
			ID: "id-bridge", Attributes: map[string]string{"container": other.id},
		}})
		if n := ts.emitted(2 * time.Second); n != 0 || f.count("inspect") != 0 {
			t.Errorf("%d tables for events that mean nothing", n)
		}
	})
}

// A burst gives one table after 100 ms of silence, or one each second if it
// does not end.
func TestCoalescing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		began := time.Now()
		for i := range 50 {
			c := newContainer(fmt.Sprintf("c%d", i), fmt.Sprintf("portway.host=c%d.test", i))
			f.put(c)
			f.event(c, events.ActionStart)
			time.Sleep(10 * time.Millisecond)
		}
		last := time.Now().Add(-10 * time.Millisecond)
		table := ts.until("with all 50", func(t *route.Table) bool { return len(t.Routes()) == 50 })
		if quiet := time.Since(last); quiet != 100*time.Millisecond {
			t.Errorf("table came %v after the last event", quiet)
		}
		if _, n := ts.last(); n != 2 {
			t.Errorf("%d tables for one burst of %v", n-1, last.Sub(began))
		}

		c := newContainer("endless", "portway.host=endless.test")
		f.put(c)
		_, before := ts.last()
		began = time.Now()
		for time.Since(began) < 3500*time.Millisecond {
			c.networks["bridge"] = fmt.Sprintf("10.0.0.%d", time.Since(began).Milliseconds()/50)
			f.put(c)
			f.event(c, events.ActionStart)
			time.Sleep(50 * time.Millisecond)
		}
		if _, n := ts.last(); n-before != 3 {
			t.Errorf("%d tables in 3.5 s of events without a pause", n-before)
		}
		_ = table
	})
}

// docker stop takes a replica out before its process knows: at once, without
// waiting for the end of a burst, and within ten milliseconds in the midst of one.
func TestKillDrainsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		c := newContainer("app", "portway.host=app.test")
		c.stop = "SIGUSR1"
		f.put(c)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		time.Sleep(time.Minute)
		const id = "container:app/default"
		for _, signal := range []string{"1", "12", "28"} { // HUP, USR2, WINCH
			f.event(c, events.ActionKill, "signal", signal)
		}
		if n := ts.emitted(time.Second); n != 0 {
			t.Errorf("%d tables for signals that do not stop anything", n)
		}
		for _, signal := range []string{"15", "2", "3", "9", "10"} { // TERM, INT, QUIT, KILL, and its own USR1
			f.count("inspect")
			f.event(c, events.ActionKill, "signal", signal)
			synctest.Wait()
			table, _ := ts.last()
			wantStates(t, table, id, map[string]route.State{"app": route.Stopping})

			c.state, c.exitCode, c.networks["bridge"] = "exited", 3, ""
			f.put(c)
			f.event(c, events.ActionDie, "exitCode", "3")
			time.Sleep(time.Second)
			table, _ = ts.last()
			wantStates(t, table, id, map[string]route.State{"app": route.Stopped})
			if r := table.Routes()[0].Upstreams[0].Reason; r != "exited with code 3" {
				t.Errorf("reason %q", r)
			}

			c.state, c.startedAt, c.networks["bridge"] = "running", signal, "172.17.0.9"
			f.put(c)
			f.event(c, events.ActionStart)
			time.Sleep(time.Second)
			table, _ = ts.last()
			wantStates(t, table, id, map[string]route.State{"app": route.Ready})
			if n := f.count("inspect"); n != 2 {
				t.Errorf("%d inspections for kill, die and start", n)
			}
		}
		_, before := ts.last()
		for range 30 {
			f.event(c, events.ActionKill, "signal", "15")
			time.Sleep(time.Millisecond)
		}
		if _, n := ts.last(); n-before != 1 {
			t.Errorf("%d tables for a container that is told to stop again and again", n-before)
		}
	})
}

// A container that ignores its stop signal gets requests again when the time
// that it had to stop is long over.
func TestIgnoredStopSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		c := newContainer("app", "portway.host=app.test")
		seconds := 30
		c.timeout = &seconds
		f.put(c)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		f.event(c, events.ActionKill, "signal", "15")
		time.Sleep(38 * time.Second)
		f.event(c, events.ActionHealthStatus) // still running, that is: still stopping
		time.Sleep(time.Second)
		table, _ := ts.last()
		wantStates(t, table, "container:app/default", map[string]route.State{"app": route.Stopping})
		time.Sleep(2 * time.Second)
		table, _ = ts.last()
		wantStates(t, table, "container:app/default", map[string]route.State{"app": route.Ready})
	})
}

// A container that dies is taken out by the event alone, and one that is back
// before anybody could look is as good as new.
func TestDieAndRestartAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		c := newContainer("app", "portway.host=app.test")
		f.put(c)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		time.Sleep(time.Second)
		f.setFault(func(context.Context, string, string) error {
			time.Sleep(50 * time.Millisecond)
			return nil
		})
		f.event(c, events.ActionDie, "exitCode", "7")
		synctest.Wait()
		table, _ := ts.last()
		wantStates(t, table, "container:app/default", map[string]route.State{"app": route.Stopped})
		time.Sleep(time.Second)

		f.event(c, events.ActionKill, "signal", "15")
		f.event(c, events.ActionDie, "exitCode", "0")
		c.startedAt = "second"
		f.put(c)
		f.event(c, events.ActionStart)
		time.Sleep(time.Second)
		table, _ = ts.last()
		wantStates(t, table, "container:app/default", map[string]route.State{"app": route.Ready})
	})
}

// An engine that fails for one container leaves that one as it was, says so,
// and tries again ever more rarely; others go on.
func TestInspectionFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		sick, well := newContainer("sick", "portway.host=sick.test"), newContainer("well", "portway.host=well.test")
		f.put(sick, well)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		f.setFault(func(ctx context.Context, call, id string) error {
			if call != "inspect" || id != sick.id {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		f.event(sick, events.ActionHealthStatus)
		time.Sleep(inspectLimit + time.Second)
		table, _ := ts.last()
		if len(table.Problems()) != 1 || table.Problems()[0].Source != `container "sick"` {
			t.Errorf("no word about it:\n%s", dump(table))
		}
		wantStates(t, table, "container:sick/default", map[string]route.State{"sick": route.Ready})

		f.setFault(func(_ context.Context, call, id string) error {
			if call == "inspect" && id == sick.id {
				return errors.New("<html>garbage</html>")
			}
			return nil
		})
		well.health = "unhealthy"
		f.put(well)
		f.event(well, events.ActionHealthStatus)
		time.Sleep(2 * time.Second)
		table, _ = ts.last()
		wantStates(t, table, "container:well/default", map[string]route.State{"well": route.Unhealthy})
		f.count("inspect")
		time.Sleep(4 * time.Minute)
		if n := f.count("inspect"); n < 4 || n > 12 {
			t.Errorf("%d tries in four minutes", n)
		}
		f.setFault(nil)
		time.Sleep(reinspectLimit)
		if table, _ = ts.last(); len(table.Problems()) != 0 {
			t.Errorf("problems stay:\n%s", dump(table))
		}
	})
}

// A slow inspection of one container does not hold up the news of others for
// longer than the maximum delay, and only once.
func TestSlowInspection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		slow, quick := newContainer("slow", "portway.host=slow.test"), newContainer("quick", "portway.host=quick.test")
		f.put(slow, quick)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		f.setFault(func(_ context.Context, call, id string) error {
			if call == "inspect" && id == slow.id {
				time.Sleep(5 * time.Second)
			}
			return nil
		})
		time.Sleep(time.Minute)
		f.event(slow, events.ActionStart)
		for i, want := range []time.Duration{time.Second, 100 * time.Millisecond} {
			quick.networks["bridge"] = fmt.Sprintf("10.0.0.%d", i)
			f.put(quick)
			began := time.Now()
			f.event(quick, events.ActionStart)
			ts.until("with the change", func(t *route.Table) bool {
				for _, r := range t.Routes() {
					if r.Upstreams[0].Address == fmt.Sprintf("10.0.0.%d:80", i) {
						return true
					}
				}
				return false
			})
			if d := time.Since(began); d != want {
				t.Errorf("change %d took %v, want %v", i, d, want)
			}
		}
	})
}
