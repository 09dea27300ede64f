package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/events"

	"portway/route"
)

// What was in the middle of something when the engine went away is looked at
// when it is back, even if it looks as before in the list.
func TestEngineAwayInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		died, told := newContainer("died", "portway.host=died.test"), newContainer("told", "portway.host=told.test")
		f.put(died, told)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		f.setFault(func(ctx context.Context, _, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		f.event(told, events.ActionKill, "signal", "15")
		f.event(died, events.ActionDie, "exitCode", "0")
		time.Sleep(time.Second)
		f.hangUp(errors.New("gone"))
		time.Sleep(time.Minute)
		table, _ := ts.last()
		wantStates(t, table, "container:died/default", map[string]route.State{"died": route.Stopped})
		wantStates(t, table, "container:told/default", map[string]route.State{"told": route.Stopping})
		died.startedAt, told.startedAt = "second", "second"
		f.put(died, told)
		f.setFault(nil)
		time.Sleep(20 * time.Second)
		table, _ = ts.last()
		wantStates(t, table, "container:died/default", map[string]route.State{"died": route.Ready})
		wantStates(t, table, "container:told/default", map[string]route.State{"told": route.Ready})
	})
}

// While the engine is away, what is known stays, a Problem says so, and tries
// get rarer. Coming back costs one list, and inspections of what changed.
func TestEngineAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		stays, changes, goes := newContainer("stays", "portway.host=stays.test"), newContainer("changes", "portway.host=changes.test"), newContainer("goes", "portway.host=goes.test")
		f.put(stays, changes, goes)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		f.count("inspect")
		f.setFault(func(context.Context, string, string) error { return errors.New("connection refused") })
		f.hangUp(errors.New("unexpected EOF"))
		f.count("ping")
		time.Sleep(time.Minute)
		table, _ := ts.last()
		if len(table.Routes()) != 3 || len(table.Problems()) != 1 || !strings.Contains(table.Problems()[0].Why, "connection refused") {
			t.Errorf("while the engine is away:\n%s", dump(table))
		}
		if n := f.count("ping"); n < 9 || n > 20 {
			t.Errorf("%d tries in the first minute", n)
		}

		changes.networks["bridge"] = "172.17.9.9"
		comes := newContainer("comes", "portway.host=comes.test")
		f.put(changes, comes)
		f.remove(goes)
		f.setFault(nil)
		f.count("inspect")
		f.count("list")
		time.Sleep(15 * time.Second)
		table, _ = ts.last()
		if len(table.Routes()) != 3 || len(table.Problems()) != 0 || len(states(table, "container:goes/default")) != 0 {
			t.Errorf("after the engine came back:\n%s", dump(table))
		}
		// One that changed, one that is new, and one to be sure that it is gone.
		if inspect, list := f.count("inspect"), f.count("list"); inspect != 3 || list != 1 {
			t.Errorf("coming back cost %d inspections and %d lists", inspect, list)
		}
	})
}

// An engine that stops answering is noticed, though its connections are open.
func TestEngineHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		f.put(newContainer("app", "portway.host=app.test"))
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		f.setFault(func(ctx context.Context, _, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(pingEvery + pingLimit + time.Second)
		table, _ := ts.last()
		if len(table.Routes()) != 1 || len(table.Problems()) != 1 || table.Problems()[0].Why != "does not answer in time" {
			t.Errorf("while the engine hangs:\n%s", dump(table))
		}
		f.setFault(nil)
		time.Sleep(retryLimit + pingLimit + time.Second)
		if table, _ = ts.last(); len(table.Problems()) != 0 {
			t.Errorf("after it:\n%s", dump(table))
		}
	})
}

// Whatever call hangs at the start, static routes (here: none) are emitted
// within a second, and the containers follow when it does not hang any more.
func TestEngineHangsAtStart(t *testing.T) {
	for _, call := range []string{"ping", "info", "events", "list", "inspect"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeEngine()
				f.put(newContainer("app", "portway.host=app.test"))
				f.setFault(func(ctx context.Context, c, _ string) error {
					if c != call {
						return nil
					}
					<-ctx.Done()
					return ctx.Err()
				})
				began := time.Now()
				ts := start(t, Config{Engine: f})
				ts.until("at all", func(*route.Table) bool { return true })
				if d := time.Since(began); d != time.Second {
					t.Errorf("the first table came after %v", d)
				}
				time.Sleep(7 * time.Second)
				f.setFault(nil)
				ts.until("with the container", func(t *route.Table) bool { return len(t.Routes()) == 1 })
				time.Sleep(time.Minute)
				if table, _ := ts.last(); len(table.Problems()) != 0 {
					t.Errorf("problems stay:\n%s", dump(table))
				}
			})
		})
	}
}

// A stream that ends after a good while, as socket proxies do it, is taken up
// again without a word; one that cannot be taken up again is not.
func TestStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		c := newContainer("app", "portway.host=app.test")
		f.put(c)
		ts := start(t, Config{Engine: f})
		synctest.Wait()
		for range 3 {
			time.Sleep(10*time.Minute + time.Second)
			f.hangUp(io.ErrUnexpectedEOF)
			if n := ts.emitted(time.Minute); n != 0 {
				t.Errorf("%d tables because a stream ended", n)
			}
			c.startedAt += "again"
			c.networks["bridge"] = fmt.Sprintf("10.0.0.%d", len(c.startedAt))
			f.put(c)
			f.event(c, events.ActionStart)
			if n := ts.emitted(time.Second); n != 1 {
				t.Errorf("%d tables for an event after a stream ended", n)
			}
		}
		f.setFault(func(context.Context, string, string) error { return errors.New("refused") })
		f.hangUp(io.EOF)
		if n := ts.emitted(time.Second); n != 1 {
			t.Errorf("%d tables because the engine is away", n)
		}
		f.setFault(nil)
		if n := ts.emitted(time.Minute); n != 1 {
			t.Errorf("%d tables because the engine is back", n)
		}
	})
}

// However many containers there are, the engine is asked about a few at a time.
func TestInspectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		for i := range 100 {
			f.put(newContainer(fmt.Sprintf("c%d", i), fmt.Sprintf("portway.host=c%d.test", i)))
		}
		var running, most atomic.Int64
		f.setFault(func(_ context.Context, call, _ string) error {
			if call == "inspect" {
				most.Store(max(most.Load(), running.Add(1)))
				time.Sleep(time.Millisecond)
				running.Add(-1)
			}
			return nil
		})
		ts := start(t, Config{Engine: f})
		ts.until("with all", func(t *route.Table) bool { return len(t.Routes()) == 100 })
		if n := most.Load(); n != inspectMany {
			t.Errorf("%d inspections at a time, want %d", n, inspectMany)
		}
	})
}
