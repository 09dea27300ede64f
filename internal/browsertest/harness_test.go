package browsertest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// notes keeps what a test would fail with.
type notes struct {
	testing.TB
	said []string
}

func (n *notes) Errorf(format string, args ...any) {
	n.said = append(n.said, fmt.Sprintf(format, args...))
}

// The watch sees what it is there for: each fault of a page that has them all is found.
func TestFaultsAreSeen(t *testing.T) {
	t.Parallel()
	const faulty = `<!DOCTYPE html><title>x</title><script>document.title = 'inline'</script><script src="/x.js"></script>
<img src="http://elsewhere.example/x.png"><p style="color: #999; background: #fff">pale</p><input>
<div style="width: 2000px">wide</div><a href="/" style="outline: none">unseen</a>
<button style="position: absolute; left: -999px">away</button>`
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; img-src http:")
		kind, content := "text/html", faulty
		if r.URL.Path == "/x.js" {
			kind, content = "text/javascript", "console.warn('odd'); throw new Error('broken')"
		}
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, content)
	}))
	t.Cleanup(site.Close)
	p := open(t, strings.TrimPrefix(site.URL, "http://"))
	found := &notes{TB: t}
	p.t = found
	if status := p.goTo(site.URL); status != http.StatusOK {
		t.Error(status)
	}
	p.accessible("rules")
	p.fits("width")
	if err := reached(p.tabs("focus"), "unseen"); err != nil {
		t.Error(err)
	}
	p.blameless()
	all := strings.Join(found.said, "\n")
	for _, want := range []string{
		"security, error: Executing inline script violates", "issue: ContentSecurityPolicyIssue", `console warning: "odd"`, "exception: Uncaught Error: broken",
		"a request to elsewhere: GET http://elsewhere.example/x.png",
		"rules: color-contrast", "rules: html-has-lang", "rules: image-alt", "rules: label ", "rules: page-has-heading-one",
		"width: wider than the window: div",
		`"unseen" (body:1/a:4), which is visible: true, shows that it has the focus: false`, `"away" (body:1/button:5), which is visible: false`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in:\n%s", want, all)
		}
	}
}
