package discovery

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/events"
)

// Containers that the constraint leaves to others cost nothing: they are not even
// inspected, at the start or at an event. Our own is, since its networks matter.
func TestConstraintLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		blue := newContainer("blue", "team=blue", "portway.host=blue.test")
		green := newContainer("green", "team=green", "portway.hots=green.test")
		self := newContainer("portway", "portway.bundle.x.tgas=y")
		f.put(blue, green, self)
		only, err := ParseConstraint([]string{"team=blue"})
		if err != nil {
			t.Fatal(err)
		}
		ts := start(t, withTags(Config{Engine: f, Only: only}), self.id)
		synctest.Wait()
		table, _ := ts.last()
		if got := hostsOf(table); !slices.Equal(got, []string{"blue.test"}) || len(table.Problems()) > 0 {
			t.Error(dump(table))
		}
		if n := f.count("inspect"); n != 2 {
			t.Errorf("%d inspections, want those of blue and of Portway itself", n)
		}
		f.event(green, events.ActionStart)
		if n := ts.emitted(time.Second); n != 0 || f.count("inspect") != 0 {
			t.Errorf("%d tables for an event about somebody else's container", n)
		}
	})
}

// The host that is made of a container's name follows it.
func TestDefaultHostFollowsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine()
		c := newContainer("one", "portway.enable=true")
		f.put(c)
		rule, err := ParseHostRule("{container}.example.com")
		if err != nil {
			t.Fatal(err)
		}
		ts := start(t, withTags(Config{Engine: f, DefaultHost: rule}))
		synctest.Wait()
		c.name = "two"
		f.put(c)
		f.event(c, events.ActionRename)
		time.Sleep(time.Second)
		table, _ := ts.last()
		if got := hostsOf(table); !slices.Equal(got, []string{"two.example.com"}) {
			t.Error(dump(table))
		}
	})
}

// A container that opts out is left alone, and the log says so once.
func TestOptOutIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := newFakeEngine()
		c := newContainer("hidden", "portway.enable=false", "portway.host=hidden.test")
		f.put(c)
		ts := start(t, withTags(Config{Engine: f, Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		synctest.Wait()
		f.event(c, events.ActionStart)
		time.Sleep(time.Second)
		synctest.Wait()
		ts.stop()
		if n := strings.Count(log.String(), "left alone"); n != 1 || !strings.Contains(log.String(), "container=hidden") {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
	})
}
