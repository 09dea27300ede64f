package browsertest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"portway/internal/dockertest"
)

// A route appears in the open page within a second of its container's start, as the
// engine dates it, without the page being loaded again. A machine that is busy with other
// things makes a try slow, so there are up to twenty, of which three must be in time.
func TestRouteAppears(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	p := start(t, engine, nil)
	image := engine.Image(t, dockertest.Origin)
	b := p.signedIn()
	b.goTo(p.dashboard + "/routes")
	b.waits("document.body.dataset.live == 'on'")
	evaluate[bool](b, "window.sameDocument = true")
	const limit, enough, most = time.Second, 3, 20
	var took []time.Duration
	for good := 0; good < enough && len(took) < most; {
		host := fmt.Sprintf("n%d.localhost", len(took))
		evaluate[bool](b, fmt.Sprintf(`(() => {
  window.seen = 0;
  new MutationObserver((_, o) => {
    if (!document.getElementById('routes').innerText.includes(%q)) return;
    o.disconnect();
    requestAnimationFrame(() => { window.seen = Date.now() });
  }).observe(document.body, {childList: true, subtree: true, characterData: true});
  return true;
})()`, host))
		c := engine.Create(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{p.mine: "", "portway.host": host}})
		c.Start(t)
		b.waits("window.seen > 0")
		d := time.UnixMilli(int64(evaluate[float64](b, "window.seen"))).Sub(startOf(t, engine, c))
		took = append(took, d.Round(time.Millisecond))
		if d < limit {
			good++
		}
		if good == enough {
			b.keep("route-appeared-light")
		}
	}
	t.Logf("FIGURES a route is in the open page after its container's start: %v", took)
	if n := count(took, limit); n < enough {
		t.Errorf("of %d routes, %d appeared within %v", len(took), n, limit)
	}
	if !evaluate[bool](b, "window.sameDocument === true") {
		t.Error("the page was loaded again")
	}
}

func count(took []time.Duration, limit time.Duration) (n int) {
	for _, d := range took {
		if d < limit {
			n++
		}
	}
	return n
}

// startOf is when a container started, by the engine's event.
func startOf(t *testing.T, engine *dockertest.Engine, c *dockertest.Container) time.Time {
	t.Helper()
	ctx := t.Context()
	messages, errs := engine.Events(ctx, events.ListOptions{
		Since: "0", Until: strconv.FormatInt(time.Now().Add(time.Second).Unix(), 10),
		Filters: filters.NewArgs(filters.Arg("container", c.ID), filters.Arg("event", "start")),
	})
	select {
	case m := <-messages:
		return time.Unix(0, m.TimeNano)
	case err := <-errs:
		t.Fatalf("the engine does not tell when the container started: %v", err)
	case <-time.After(patience):
		t.Fatal("the engine does not tell when the container started")
	}
	return time.Time{}
}

// A container with a broken label shows with what to type; when that is done, it is served.
func TestBrokenLabel(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	p := start(t, engine, nil)
	b := p.signedIn()
	b.goTo(p.dashboard + "/containers")
	b.waits("document.body.dataset.live == 'on'")
	image := engine.Image(t, dockertest.Origin)
	c := engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{p.mine: "", "portway.hots": "typo.localhost"}})
	article := fmt.Sprintf(`document.querySelector('[data-source=%q]')`, c.Name)
	b.waits(article + " != null")
	said := evaluate[string](b, article+".innerText")
	for _, want := range []string{"portway.hots", "did you mean portway.host", "What to do"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in %s", want, said)
		}
	}
	b.keep("broken-label-light")
	c.Remove(t)
	b.waits(article + " == null")
	fixed := engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{p.mine: "", "portway.host": "typo.localhost"}})
	b.waits(fmt.Sprintf(`(document.querySelector('[data-source=%q]') || {innerText: ''}).innerText.includes('route')`, fixed.Name))
}

// The form explains what becomes of a request, and sends it to the replicas if asked to.
func TestExplainForm(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	p := start(t, engine, nil)
	image := engine.Image(t, dockertest.Origin)
	engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{p.mine: "", "portway.host": "shop.localhost", "portway.match.method": "GET"}})
	b := p.signedIn()
	b.goTo(p.dashboard + "/routes")
	b.shows("shop.localhost")
	b.goTo(p.dashboard + "/explain")
	b.types("q", "https://shop.localhost/cart?a=1")
	b.press("Explain")
	b.shows("this one")
	b.press("Send the request to each replica now")
	b.waits("document.getElementById('hops') != null && document.getElementById('hops').innerText.includes('200')")
	b.keep("explain-tried-light")
	b.goTo(p.dashboard + "/explain?q=https%3A%2F%2Fshop.localhost%2F&method=POST")
	b.shows("does not fit")
	b.shows("asks for GET")
	b.goTo(p.dashboard + "/explain?q=nobody.localhost")
	b.shows("Not served")
}
