package browsertest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// issue is what the browser says that is wrong with a page, as people can read it.
func issue(i *audits.InspectorIssue) string {
	details, err := json.Marshal(i.Details)
	if err != nil {
		return string(i.Code)
	}
	return string(i.Code) + " " + string(details)
}

// violation is a rule of axe-core that a page breaks.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// accessible holds the page as it is against the rules of axe-core, best practices
// among them. Contrast is one of the rules; there, what axe-core cannot tell fails too.
func (p *page) accessible(what string) {
	p.t.Helper()
	if !evaluate[bool](p, "typeof axe == 'object'") {
		evaluate[chromedp.Void](p, p.axe)
	}
	raw := evaluate[string](p, `axe.run(document, {resultTypes: ['violations', 'incomplete']}).then(r => JSON.stringify({
  passed: r.passes.length, violations: [...r.violations, ...r.incomplete.filter(i => i.id == 'color-contrast')],
}))`)
	var found struct {
		Passed     int
		Violations []violation
	}
	p.do("read what axe-core says", json.Unmarshal([]byte(raw), &found))
	if found.Passed < 10 {
		p.t.Errorf("%s: axe-core looked at %d rules only", what, found.Passed)
	}
	for _, v := range found.Violations {
		var where []string
		for _, n := range v.Nodes[:min(len(v.Nodes), 3)] {
			where = append(where, n.HTML+"\n    "+strings.ReplaceAll(n.FailureSummary, "\n", "\n    "))
		}
		p.t.Errorf("%s: %s (%s, %d places): %s\n  %s", what, v.ID, v.Impact, len(v.Nodes), v.Help, strings.Join(where, "\n  "))
	}
}

//go:embed testdata/wide.js
var wideScript string

// fits tells what is wider than the window, so that people must scroll sideways.
func (p *page) fits(what string) {
	p.t.Helper()
	for _, w := range evaluate[[]string](p, wideScript) {
		p.t.Errorf("%s: wider than the window: %s", what, w)
	}
}

//go:embed testdata/focused.js
var focusedScript string

// stop is where Tab leads.
type stop struct {
	Name    string // what a screen reader would say, roughly
	Tag     string
	Path    string // tells elements apart
	Visible bool   // on the screen
	Shown   bool   // that it has the focus
}

// tabs goes through the page by Tab, from its top until the focus leaves the page or
// comes back, and complains of stops that cannot be seen.
func (p *page) tabs(what string) []stop {
	p.t.Helper()
	evaluate[chromedp.Void](p, "document.activeElement.blur(); window.getSelection().removeAllRanges(); window.scrollTo(0, 0)")
	var stops []stop
	seen := make(map[string]bool)
	for range 500 {
		p.act("press Tab", chromedp.KeyEvent(kb.Tab))
		at := evaluate[stop](p, focusedScript)
		if at.Path == "" || seen[at.Path] {
			return stops
		}
		seen[at.Path] = true
		stops = append(stops, at)
		if !at.Visible || !at.Shown {
			p.t.Errorf("%s: Tab leads to %s %q (%s), which is visible: %v, shows that it has the focus: %v", what, at.Tag, at.Name, at.Path, at.Visible, at.Shown)
		}
	}
	p.t.Errorf("%s: Tab leads on and on", what)
	return stops
}

// reached tells whether Tab led to something of that name.
func reached(stops []stop, name string) error {
	var all []string
	for _, s := range stops {
		if strings.Contains(strings.ToLower(s.Name), strings.ToLower(name)) {
			return nil
		}
		all = append(all, s.Name)
	}
	return fmt.Errorf("tab does not lead to %q, but to %q", name, all)
}
