package browsertest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"portway/internal/dockertest"
)

// page is a tab with a profile of its own, in which nobody has signed in yet.
type page struct {
	t   testing.TB
	ctx context.Context
	axe string

	mu       sync.Mutex
	hosts    []string // that may be asked
	excused  []string // parts of complaints that the test brings about
	wrong    []string // complaints of the browser
	requests []string // method and URL of each
}

// open makes a tab that may ask hosts, such as 127.0.0.1:8080, and nobody else.
func open(t testing.TB, hosts ...string) *page {
	t.Helper()
	b := browser(t)
	p := &page{t: t, axe: b.axe, hosts: hosts}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.heard))
	t.Cleanup(cancel)
	p.ctx = ctx
	p.do("open a tab", chromedp.Do(ctx))
	_, err := chromedp.Call(ctx, audits.Enable, cdp.Empty{})
	p.do("ask for what the browser finds wrong", err)
	p.size(1280, 900)
	t.Cleanup(p.blameless)
	return p
}

func (p *page) do(what string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// heard notes what the browser says while the page is used. It must not block.
func (p *page) heard(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if x := ev.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		p.wrong = append(p.wrong, "exception: "+text)
	case *runtime.EventConsoleAPICalled:
		if kind := string(ev.Type); kind == "error" || kind == "warning" || kind == "assert" {
			var said []string
			for _, a := range ev.Args {
				said = append(said, string(a.Value)+a.Description)
			}
			p.wrong = append(p.wrong, "console "+kind+": "+strings.Join(said, " "))
		}
	case *cdplog.EventEntryAdded:
		if e := ev.Entry; e.Level == "error" || e.Level == "warning" {
			p.wrong = append(p.wrong, fmt.Sprintf("%s, %s: %s (%s)", e.Source, e.Level, e.Text, e.URL))
		}
	case *audits.EventIssueAdded:
		p.wrong = append(p.wrong, "issue: "+issue(ev.Issue))
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, ev.Request.Method+" "+ev.Request.URL)
	}
}

// excuse lets the browser complain of what the test brings about itself.
func (p *page) excuse(parts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.excused = append(p.excused, parts...)
}

// blameless fails the test for complaints of the browser, and for requests elsewhere.
func (p *page) blameless() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wrong {
		if !slices.ContainsFunc(p.excused, func(part string) bool { return strings.Contains(w, part) }) {
			p.t.Errorf("the browser complains: %s", w)
		}
	}
	p.wrong = nil
	for _, r := range p.requests {
		_, address, _ := strings.Cut(r, " ")
		u, err := url.Parse(address)
		if err == nil && (u.Scheme == "about" || u.Scheme == "data" || u.Scheme == "blob") {
			continue
		}
		if err != nil || !slices.Contains(p.hosts, u.Host) {
			p.t.Errorf("a request to elsewhere: %s", r)
		}
	}
	p.requests = nil
}

// goTo opens an address, and gives the status of the answer.
func (p *page) goTo(address string) int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.NavigateResponse(address))
	p.do("open "+address, err)
	if answer == nil {
		return 0
	}
	return int(answer.Status)
}

// act does steps in the page, within patience.
func (p *page) act(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v; the page is %s:\n%s", what, err, p.where(), p.text())
	}
}

// evaluate runs JavaScript in the page, where a promise may come of it.
func evaluate[T any](p *page, script string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	p.do("evaluate "+script[:min(len(script), 60)], err)
	return v
}

// waits until an expression in the page is true, through all navigation: a document that
// goes ends a look at it, so the next is looked at.
func (p *page) waits(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	for {
		good, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if good {
			return
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("%s does not come true: %v; the page is %s:\n%s", expression, err, p.where(), p.text())
		case <-time.After(20 * time.Millisecond): // nothing tells this process
		}
	}
}

// shows waits until the page has a text.
func (p *page) shows(text string) {
	p.t.Helper()
	p.waits(fmt.Sprintf("document.body && document.body.innerText.includes(%q)", text))
}

// press clicks on what a person would read there, and says if it is not there.
func (p *page) press(name string) {
	p.t.Helper()
	p.act("press "+name, chromedp.Click(fmt.Sprintf(`//main//button[normalize-space()=%q] | //main//a[normalize-space()=%q] | //header//button[normalize-space()=%q]`, name, name, name), chromedp.NodeVisible))
}

// types puts a text into the field with an ID.
func (p *page) types(id, text string) {
	p.t.Helper()
	p.act("type into "+id, chromedp.Clear(chromedp.ID(id)), chromedp.SendKeys(chromedp.ID(id), text))
}

func (p *page) text() string {
	return evaluate[string](p, "document.body ? document.body.innerText : ''")
}
func (p *page) where() string { return evaluate[string](p, "location.href") }

// size gives the window another size; under 600 it is a phone's.
func (p *page) size(width, height int64) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600,
	})
	p.do("resize", err)
}

// prefers says that the person likes light or dark.
func (p *page) prefers(scheme string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	p.do("prefer "+scheme, err)
}

// remote has the browser look as if it came from elsewhere through something on this
// machine, which so is nobody's owner.
func (p *page) remote() {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"X-Forwarded-For": "203.0.113.9"}})
	p.do("come from elsewhere", err)
}

// scripts switches JavaScript on or off.
func (p *page) scripts(on bool) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
	p.do("switch JavaScript", err)
}

// keep leaves a picture of the whole page among the artefacts.
func (p *page) keep(name string) {
	p.t.Helper()
	root, err := dockertest.Root()
	p.do("find the repository", err)
	dir := filepath.Join(root, ".artefacts", "dashboard")
	p.do("keep pictures", os.MkdirAll(dir, 0o755))
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	p.do("take a picture", err)
	p.do("keep a picture", os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
}
