package browsertest

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// An error page tells a visitor nothing about the inside. Whoever has signed in to the
// dashboard gets the reason there after following a link, at that host only, with a link
// back to what explains that very request.
func TestOwnersErrorPage(t *testing.T) {
	t.Parallel()
	p := start(t, nil, map[string]string{
		"nas.yaml":   "nas:\n  host: nas.localhost\n  to: http://127.0.0.1:1\n",
		"other.yaml": "other:\n  host: other.localhost\n  to: http://127.0.0.1:1\n",
	})
	b := p.signedIn("nas."+p.https, "other."+p.https)
	b.excuse("status of 502") // the page that is looked at, and its icon
	b.remote()
	address := p.site("nas") + "/a/path?with=query&x"
	visitor := func(address string) {
		t.Helper()
		if status := b.goTo(address); status != 502 {
			t.Errorf("%s: %d", address, status)
		}
		for _, inside := range []string{"refused", "127.0.0.1", "dashboard", "explain"} {
			if strings.Contains(b.text(), inside) {
				t.Errorf("a visitor is told of %q: %s", inside, b.text())
			}
		}
	}
	looks := func(what string) {
		t.Helper()
		for _, scheme := range []string{"light", "dark"} {
			b.prefers(scheme)
			b.accessible(what + ", " + scheme)
			b.keep(what + "-" + scheme)
		}
		b.size(360, 740)
		b.fits(what + ", phone")
		b.keep(what + "-phone-dark")
		b.size(1280, 900)
	}
	visitor(address)
	looks("error-page-visitor")

	b.goTo(p.dashboard + "/explain?q=" + url.QueryEscape(address))
	b.act("ask for reasons", chromedp.Click(chromedp.ID("reasons")))
	b.waits("location.pathname == '/a/path'")
	b.shows("connection refused")
	b.shows("since you have signed in")
	if at := b.where(); at != address {
		t.Errorf("at %s instead of %s", at, address)
	}
	looks("error-page-owner")
	visitor(p.site("other"))

	b.goTo(address)
	b.press("Explain this on the dashboard")
	b.waits("location.pathname == '/explain' && document.getElementById('q') != null")
	if got := evaluate[string](b, "document.getElementById('q').value"); got != address {
		t.Errorf("explained is %s instead of %s", got, address)
	}
	b.press("Sign out")
	b.waits("location.pathname == '/sign-in'")
	visitor(address)
	b.excuse("status of 401") // of what the page was fetching when its user signed out
}
