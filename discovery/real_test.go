package discovery

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"portway/internal/dockertest"
	"portway/route"
)

func watchReal(t *testing.T, e *dockertest.Engine) *tables {
	t.Helper()
	engine, err := Dial(Endpoint{Host: e.Host})
	if err != nil {
		t.Fatal(err)
	}
	return start(t, Config{Engine: engine})
}

// state waits until the only upstream of a container's default route is in a
// state, and returns it.
func (ts *tables) state(c *dockertest.Container, want route.State) (u route.Upstream) {
	ts.tb.Helper()
	ts.until(fmt.Sprintf("with %s %s", c.Name, want), func(t *route.Table) bool {
		for _, r := range t.Routes() {
			if r.ID == "container:"+c.Name+"/default" && r.Upstreams[0].State == want {
				u = r.Upstreams[0]
				return true
			}
		}
		return false
	})
	return u
}

// gone waits until a route is gone.
func (ts *tables) gone(id string) {
	ts.tb.Helper()
	ts.until("without "+id, func(t *route.Table) bool {
		return !slices.ContainsFunc(t.Routes(), func(r *route.Route) bool { return r.ID == id })
	})
}

func host(name string) map[string]string {
	return map[string]string{"portway.host": name + ".test", "portway.port": "80"}
}

func get(t *testing.T, method, url string) string {
	t.Helper()
	var body string
	waitFor(t, url, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		body = string(text)
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return body
}

// A container's life: each step shows within a second, and the address leads to
// the application.
func TestRealLife(t *testing.T) {
	t.Parallel()
	e := dockertest.Require(t)
	ts := watchReal(t, e)
	name := dockertest.Name("life")
	c := e.Create(t, dockertest.Spec{Image: e.Image(t, dockertest.Origin), Name: name, Labels: host(name), Env: []string{"LINGER=500ms"}})
	ts.state(c, route.Stopped)

	step := func(what string, want route.State, do func(testing.TB)) {
		t.Helper()
		do(t)
		began := time.Now()
		u := ts.state(c, want)
		d := time.Since(began)
		t.Logf("%s: %s %s after %v", what, u.State, u.Reason, d.Round(time.Millisecond))
		if d > time.Second {
			t.Errorf("%s showed only after %v", what, d)
		}
	}
	step("start", route.Ready, c.Start)
	if got := get(t, http.MethodGet, "http://"+ts.state(c, route.Ready).Address); got != c.ID[:12]+"\n" {
		t.Errorf("at its address there is %q", got)
	}
	step("pause", route.Paused, c.Pause)
	step("unpause", route.Ready, c.Unpause)
	step("kill -HUP, then rename", route.Ready, func(tb testing.TB) {
		c.Kill(tb, "HUP")
		c.Rename(tb, name+"-renamed")
	})
	ts.gone("container:" + name + "/default")
	step("kill -9", route.Stopped, func(tb testing.TB) { c.Kill(tb, "KILL") })
	step("start again", route.Ready, c.Start)
	step("stop", route.Stopped, c.Stop)
	c.Remove(t)
	ts.gone("container:" + c.Name + "/default")

	stopping := 0
	for _, table := range ts.all {
		for _, s := range states(table, "container:"+c.Name+"/default") {
			if s == route.Stopping {
				stopping++
			}
		}
	}
	if stopping == 0 {
		t.Error("nobody was told that it stops before it had")
	}
}

func TestRealHealth(t *testing.T) {
	t.Parallel()
	e := dockertest.Require(t)
	ts := watchReal(t, e)
	name := dockertest.Name("health")
	c := e.Run(t, dockertest.Spec{
		Image: e.Image(t, dockertest.Origin), Name: name, Labels: host(name), Health: dockertest.HealthEvery(300 * time.Millisecond),
	})
	ts.state(c, route.Starting)
	url := "http://" + ts.state(c, route.Ready).Address
	get(t, http.MethodPut, url+"/unhealthy")
	ts.state(c, route.Unhealthy)
	get(t, http.MethodPut, url+"/healthy")
	ts.state(c, route.Ready)
}

// A container that gets a network only after its start is reached over that.
func TestRealNetworkAfterStart(t *testing.T) {
	t.Parallel()
	e := dockertest.Require(t)
	ts := watchReal(t, e)
	name := dockertest.Name("late")
	network := e.Network(t)
	c := e.Run(t, dockertest.Spec{Image: e.Image(t, dockertest.Origin), Name: name, Labels: host(name), Mode: "none"})
	ts.state(c, route.Unhealthy)
	e.Disconnect(t, "none", c)
	e.Connect(t, network, c)
	want := c.Addr(t, network).String() + ":80"
	if got := ts.state(c, route.Ready).Address; got != want {
		t.Errorf("address %s, want %s", got, want)
	}
	e.Disconnect(t, network, c)
	ts.state(c, route.Unhealthy)
}

// A service that is scaled from one to three and back.
func TestRealScale(t *testing.T) {
	t.Parallel()
	e := dockertest.Require(t)
	ts := watchReal(t, e)
	project := dockertest.Name("scale")
	id := "compose:" + project + "/web/default"
	ready := func(n int) {
		t.Helper()
		ts.until(fmt.Sprintf("with %d replicas", n), func(table *route.Table) bool {
			all := states(table, id)
			for _, s := range all {
				if s != route.Ready {
					return false
				}
			}
			return len(all) == n
		})
	}
	var replicas []*dockertest.Container
	for i := 1; i <= 3; i++ {
		replicas = append(replicas, e.Run(t, dockertest.Spec{
			Image: e.Image(t, dockertest.Origin), Labels: dockertest.Compose(project, "web", i, host(project)),
		}))
		ready(i)
	}
	replicas[2].Remove(t)
	ready(2)
	replicas[1].Remove(t)
	ready(1)
	replicas[0].Stop(t)
	ts.until("with none", func(table *route.Table) bool {
		all := states(table, id)
		return len(all) == 1 && all[replicas[0].Name] == route.Stopped
	})
}

// Fifty containers at once: all are found, with far fewer tables than events.
func TestRealBurst(t *testing.T) {
	t.Parallel()
	e := dockertest.Require(t)
	ts := watchReal(t, e)
	const n = 50
	image, prefix := e.Image(t, dockertest.Origin), dockertest.Name("burst")
	all := make([]*dockertest.Container, n)
	for i := range all {
		name := fmt.Sprintf("%s-%d", prefix, i)
		// Without a network of its own: its set-up is most of the time.
		all[i] = e.Create(t, dockertest.Spec{Image: image, Name: name, Labels: host(name), Mode: "host", Cmd: []string{"127.0.0.1:0"}})
	}
	count := func(want route.State) func(*route.Table) bool {
		return func(table *route.Table) bool {
			got := 0
			for _, c := range all {
				if s, ok := states(table, "container:"+c.Name+"/default")[c.Name]; ok && s == want {
					got++
				}
			}
			return got == n
		}
	}
	each := func(do func(c *dockertest.Container)) {
		var wg sync.WaitGroup
		limit := make(chan struct{}, 8)
		for _, c := range all {
			limit <- struct{}{}
			wg.Go(func() {
				do(c)
				<-limit
			})
		}
		wg.Wait()
	}
	_, before := ts.last()
	began := time.Now()
	each(func(c *dockertest.Container) { c.Start(t) })
	took := time.Since(began)
	ts.until("with all running", count(route.Ready))
	_, after := ts.last()
	t.Logf("%d started within %v: %d tables, the last %v after the last start", n, took.Round(time.Millisecond), after-before, (time.Since(began) - took).Round(time.Millisecond))
	if limit := int(took/(100*time.Millisecond)) + 3; after-before > limit {
		t.Errorf("%d tables for %d containers in %v", after-before, n, took)
	}
	each(func(c *dockertest.Container) { c.Remove(t) })
	ts.until("with none", func(table *route.Table) bool {
		for _, c := range all {
			if len(states(table, "container:"+c.Name+"/default")) > 0 {
				return false
			}
		}
		return true
	})
}
