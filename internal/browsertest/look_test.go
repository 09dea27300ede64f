package browsertest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"portway/internal/dockertest"
)

// looked at are the pages of the dashboard, each with what it must show before anything
// else is asked of it.
var lookedAt = []struct{ name, path, shows string }{
	{"overview", "/", "Problems"},
	{"routes", "/routes", "shop.localhost"},
	{"route", "shop.localhost", "Replicas"}, // whose path the routes' page knows
	{"route-failing", "nas.localhost", "connection refused"},
	{"containers", "/containers", "hots"},
	{"certificates", "/certificates", "shop.localhost"},
	{"explain", "/explain?q=https%3A%2F%2Fshop.localhost%2Fcart%3Fa%3D1", "Served"},
	{"log", "/log?level=debug", "starting"},
	{"history", "/history", "shop"},
	{"not-found", "/nothing-here", "Not found"},
}

// Every page of the dashboard is accessible by the rules of axe-core in light and dark,
// fits a phone, can be used by keyboard alone, complains of nothing and asks nobody else.
func TestPages(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	p := start(t, engine, map[string]string{
		"nas.yaml":    "nas:\n  host: nas.localhost\n  to: http://127.0.0.1:1\n  rate-limit: 10/s\n",
		"broken.yaml": "x:\n  hots: y.localhost\n",
	})
	image := engine.Image(t, dockertest.Origin)
	engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{p.mine: "", "portway.host": "shop.localhost", "portway.response-headers": "X-A-Very-Long-Name-Of-A-Field: with a long value that does not fit a phone"}})
	engine.Run(t, dockertest.Spec{Image: image, Expose: []string{"80"}, Labels: map[string]string{p.mine: "", "portway.hots": "typo.localhost"}})
	b := p.signedIn()
	b.goTo(p.dashboard + "/routes")
	b.shows("shop.localhost")
	failing := open(t, "nas."+p.https)
	failing.excuse("status of 502")
	failing.goTo(p.site("nas"))
	failing.keep("error-page-light")
	b.excuse("status of 404") // the page of what is not there
	for _, at := range lookedAt {
		if strings.HasPrefix(at.name, "route-") || at.name == "route" {
			b.goTo(p.dashboard + "/routes")
			at.path = evaluate[string](b, fmt.Sprintf("[...document.querySelectorAll('#routes a')].find(a => a.innerText.includes(%q)).pathname", at.path))
		}
		b.size(1280, 900)
		b.prefers("light")
		b.goTo(p.dashboard + at.path)
		b.shows(at.shows)
		b.accessible(at.name + ", light")
		b.fits(at.name)
		b.keep(at.name + "-light")
		stops := b.tabs(at.name)
		for _, name := range []string{"Skip to the content", "Overview", "Routes", "Sign out", "Dark or light"} {
			if err := reached(stops, name); err != nil {
				t.Errorf("%s: %v", at.name, err)
			}
		}
		b.prefers("dark")
		b.accessible(at.name + ", dark")
		b.keep(at.name + "-dark")
		b.size(360, 740)
		b.accessible(at.name + ", phone")
		b.fits(at.name + ", phone")
		b.keep(at.name + "-phone-dark")
		b.blameless()
	}
}

// The button chooses light or dark, whatever the system prefers, and pages remember.
func TestTheme(t *testing.T) {
	t.Parallel()
	p := start(t, nil, nil)
	b := p.signedIn()
	bright := func() bool {
		t.Helper()
		color := evaluate[string](b, "getComputedStyle(document.body).backgroundColor")
		var red, green, blue int
		if _, err := fmt.Sscanf(strings.TrimPrefix(color, "rgb"), "(%d, %d, %d)", &red, &green, &blue); err != nil {
			t.Fatalf("background %s: %v", color, err)
		}
		return red+green+blue > 3*128
	}
	for _, prefers := range []string{"light", "dark"} {
		b.prefers(prefers)
		if bright() != (prefers == "light") {
			t.Errorf("the system prefers %s, the page does not", prefers)
		}
	}
	b.press("Dark or light")
	if !bright() {
		t.Error("light was chosen, but it is dark")
	}
	b.goTo(p.dashboard + "/routes")
	if !bright() {
		t.Error("the next page has forgotten that light was chosen")
	}
	b.press("Dark or light")
	b.prefers("light")
	if bright() {
		t.Error("dark was chosen, but it is light")
	}
}

// Without JavaScript each page says the same.
func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	p := start(t, nil, map[string]string{"nas.yaml": "nas:\n  host: nas.localhost\n  to: http://127.0.0.1:1\n"})
	b := open(t, p.host())
	b.scripts(false)
	b.goTo(p.link())
	b.press("Sign in")
	b.act("see the overview", chromedp.WaitVisible(chromedp.CSS("nav")))
	b.goTo(p.dashboard + "/routes?q=nas")
	if !strings.Contains(b.text(), "nas.localhost") {
		t.Errorf("no route: %s", b.text())
	}
}
