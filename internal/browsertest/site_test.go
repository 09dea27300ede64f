package browsertest

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// As a site of its own, by HTTPS through Portway itself, the dashboard is as live, and
// its cookie is held to its host by the browser.
func TestAsASite(t *testing.T) {
	t.Parallel()
	p := start(t, nil, map[string]string{"nas.yaml": "nas:\n  host: nas.localhost\n  to: http://127.0.0.1:1\n"}, "--dashboard-host=board.localhost")
	board := p.site("board")
	if link := p.link(); !strings.HasPrefix(link, board+"/sign-in?") {
		t.Errorf("the command prints %s", link)
	}
	b := open(t, strings.TrimPrefix(board, "https://"), "nas."+p.https)
	b.excuse("status of 502", "status of 401")
	b.goTo(board)
	b.types("password", p.password)
	b.act("press Enter", chromedp.SendKeys(chromedp.ID("password"), kb.Enter))
	b.waits("location.pathname == '/' && document.body.dataset.live == 'on'")
	cookies, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{})
	b.do("list cookies", err)
	if len(cookies.Cookies) != 1 || cookies.Cookies[0].Name != "__Host-portway" || !cookies.Cookies[0].Secure {
		t.Errorf("cookies: %+v", cookies.Cookies)
	}
	for _, at := range []string{"/routes", "/containers", "/log", "/history", "/certificates"} {
		b.goTo(board + at)
		b.waits("document.body.dataset.live == 'on'")
	}

	// Links on error pages lead to the dashboard that somebody uses.
	b.remote()
	address := p.site("nas") + "/x"
	b.goTo(board + "/explain?q=" + address)
	b.act("ask for reasons", chromedp.Click(chromedp.ID("reasons")))
	b.shows("since you have signed in")
	b.press("Explain this on the dashboard")
	b.waits("location.pathname == '/explain' && document.getElementById('reasons') != null")
	if at := b.where(); !strings.HasPrefix(at, board+"/explain?q=") {
		t.Errorf("at %s", at)
	}
}
