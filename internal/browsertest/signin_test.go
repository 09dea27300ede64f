package browsertest

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The password that the log told signs in, another one does not; what was asked for
// before comes after. Nobody sees anything without.
func TestPassword(t *testing.T) {
	t.Parallel()
	p := start(t, nil, nil)
	b := open(t, p.host())
	b.excuse("status of 403")
	b.excuse("status of 401") // of what the page was fetching when its user signed out
	if status := b.goTo(p.dashboard + "/certificates"); status != 200 || !strings.Contains(b.where(), "/sign-in") {
		t.Fatalf("%d at %s", status, b.where())
	}
	if strings.Contains(b.text(), "Overview") {
		t.Errorf("strangers see: %s", b.text())
	}
	b.accessible("sign in")
	b.keep("sign-in-light")
	b.types("password", "wrong password")
	b.press("Sign in")
	b.shows("This is not the password")
	b.accessible("sign in, refused")
	b.keep("sign-in-refused-light")
	b.types("password", p.password)
	b.act("press Enter", chromedp.SendKeys(chromedp.ID("password"), kb.Enter))
	b.waits("location.pathname == '/certificates'")
	b.press("Sign out")
	b.waits("location.pathname == '/sign-in'")
	if b.goTo(p.dashboard + "/"); !strings.Contains(b.where(), "/sign-in") {
		t.Errorf("signed out, but at %s", b.where())
	}
	cookies, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{})
	b.do("list cookies", err)
	for _, c := range cookies.Cookies {
		if c.Name == "portway" {
			t.Errorf("the cookie %s is still there", c.Name)
		}
	}
}

// A link signs in once, and not again; the session's cookie is out of reach of scripts.
func TestLink(t *testing.T) {
	t.Parallel()
	p := start(t, nil, nil)
	link := p.link()
	b := open(t, p.host())
	b.goTo(link)
	b.accessible("sign in by a link")
	b.press("Sign in")
	b.waits("location.pathname == '/'")
	cookies, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{})
	b.do("list cookies", err)
	found := false
	for _, c := range cookies.Cookies {
		found = true
		if !c.HTTPOnly || c.SameSite != network.CookieSameSiteStrict {
			t.Errorf("%s: out of reach of scripts: %v, SameSite: %s", c.Name, c.HTTPOnly, c.SameSite)
		}
	}
	if !found {
		t.Error("there is no cookie")
	}
	other := open(t, p.host())
	other.excuse("status of 403")
	other.goTo(link)
	other.press("Sign in")
	other.shows("This link has been used")
}
