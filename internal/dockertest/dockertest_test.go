package dockertest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

func TestMain(m *testing.M) { Main(m) }

// What a test makes is there while it runs and gone afterwards.
func TestRunAndCleanUp(t *testing.T) {
	t.Parallel()
	e := Require(t)
	var id string
	t.Run("inner", func(t *testing.T) {
		net := e.Network(t)
		c := e.Run(t, Spec{Image: e.Image(t, Origin), Networks: []string{net}})
		id = c.ID
		if !c.Addr(t, net).IsValid() {
			t.Error("no address")
		}
	})
	list, err := e.ContainerList(t.Context(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("id", id))})
	if err != nil || len(list) != 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

// An engine of the test's own survives being stopped, killed and frozen, and
// keeps its containers' records.
func TestDaemon(t *testing.T) {
	t.Parallel()
	d := StartDaemon(t)
	c := d.Create(t, Spec{Image: d.Image(t, Origin), Mode: "none"})
	d.Stop(t)
	if _, err := d.Ping(t.Context()); err == nil {
		t.Error("a stopped engine answers")
	}
	d.Start(t)
	d.Kill(t)
	d.Start(t)
	if got := c.Inspect(t).Name; got != "/"+c.Name {
		t.Errorf("name %q after restart", got)
	}
	d.Freeze(t)
	answered := make(chan error, 1)
	go func() {
		_, err := d.Ping(t.Context())
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("a frozen engine answers (%v)", err)
	case <-time.After(200 * time.Millisecond):
	}
	d.Thaw(t)
	if err := <-answered; err != nil {
		t.Errorf("after thaw: %v", err)
	}
}

func TestOriginAnswers(t *testing.T) {
	t.Parallel()
	e := Require(t)
	c := e.Run(t, Spec{Image: e.Image(t, Origin)})
	url := "http://" + c.Addr(t, "bridge").String() + "/"
	var last error
	for range 100 {
		resp, err := http.Get(url)
		if err == nil {
			_ = resp.Body.Close()
			return
		}
		if last = err; !strings.Contains(err.Error(), "refused") {
			break
		}
		time.Sleep(20 * time.Millisecond) // its socket opens a little after its start
	}
	t.Error(last)
}
