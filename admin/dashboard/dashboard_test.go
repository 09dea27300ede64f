package dashboard

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"portway/admin"
	"portway/label"
	"portway/route"
)

// patience bounds what happens beside.
const patience = time.Minute

// hostile is what a label, or a stranger's request, may say.
const hostile = `"><script>alert(1)</script>`

// board is a Dashboard that is served, with what it shows.
type board struct {
	*testing.T
	*Dashboard
	server   *httptest.Server
	admin    *admin.Server
	log      *slog.Logger
	password string // the first one
	cfg      Config
}

// newBoard serves a Dashboard of the table below.
func newBoard(t *testing.T, edit ...func(*Config)) *board {
	t.Helper()
	lines := admin.NewLog()
	until := time.Now().Add(60 * 24 * time.Hour)
	renewal := until.Add(-30 * 24 * time.Hour)
	b := &board{T: t, log: slog.New(lines.Handler(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})))}
	b.admin = admin.New(admin.Config{
		Version: "1.2.3", Log: lines,
		Certificates: func() []admin.Certificate {
			return []admin.Certificate{
				{Name: "web.test", State: "valid", Issuer: "Test CA", NotAfter: &until, NextRenewal: &renewal},
				{Name: "odd.test", State: "failed", LastError: "no such name " + hostile, Attempts: 2, NextTry: &renewal},
			}
		},
	})
	b.admin.SetTable(table())
	b.cfg = Config{
		Admin: b.admin, Log: lines, Version: "1.2.3", Folder: t.TempDir(), Hosts: []string{"board.test"}, Logger: b.log, cost: bcrypt.MinCost,
		FirstPassword: func(p string) { b.password = p },
		Links:         func() []string { return []string{b.server.URL} },
		Traffic:       func() []Traffic { return nil },
	}
	for _, e := range edit {
		e(&b.cfg)
	}
	b.serve()
	b.runs(b.admin.Run)
	return b
}

// runs has something run until the test is over.
func (b *board) runs(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

// serve begins, perhaps anew, with what is in the folder.
func (b *board) serve() {
	b.Helper()
	var err error
	if b.Dashboard, err = New(b.cfg); err != nil {
		b.Fatal(err)
	}
	b.server = httptest.NewServer(b.Direct())
	b.Cleanup(b.server.Close)
	b.runs(b.Dashboard.Run)
}

// protected is a middleware's options.
type protected struct{ users string }

func (p *protected) Labels(s *label.Set) { s.String(&p.users, "basic-auth", "", "Who may.") }

// table has a route that is served, and a container that is not.
func table(more ...*route.Route) *route.Table {
	web := &route.Route{
		ID: "compose:shop/web/default", Name: "shop/web", Source: `container "web-1"`, Middleware: []label.Binder{&protected{}}, Hosts: []string{"web.test"}, Path: "/", HTTPS: route.Redirect,
		Upstreams: []route.Upstream{{ID: "1", Name: "web-1", Network: "tcp", Address: "127.0.0.1:1", Scheme: route.HTTP, State: route.Unhealthy, Reason: "its health check fails"}},
		Settings:  []route.Setting{{Key: "portway.basic-auth", Option: "basic-auth", Hidden: true, Value: "hunter2"}, {Key: "portway.host", Option: "host", Value: "web.test"}},
	}
	routes := append([]*route.Route{web}, more...)
	problems := []label.Problem{{Source: `container "` + hostile + `"`, Key: "portway.hots", Why: "unknown label " + hostile, Fix: "did you mean portway.host? " + hostile}}
	return route.NewTable(routes, problems,
		&route.Source{
			ID: "container:1", Kind: route.Container, Name: "web-1", Source: web.Source, Service: "shop/web", Exposed: []int{80},
			Networks: []route.Network{{Name: "front", IP: "10.0.0.2", Shared: true}},
			Settings: web.Settings,
			Parts:    []route.Part{{RouteID: web.ID, Upstream: "1", Settings: web.Settings, Choice: route.Choice{Address: "127.0.0.1:1", Network: "front", Port: 80, PortWhy: "it is the only one", Why: "both are on it"}}},
		},
		&route.Source{
			ID: "container:2", Kind: route.Container, Name: hostile, Source: `container "` + hostile + `"`, Service: "odd",
			Settings: []route.Setting{{Key: "portway.hots", Value: hostile}},
			Parts:    []route.Part{{Settings: []route.Setting{{Option: "host", Value: "odd.test"}}}},
		},
	)
}

// browser keeps cookies, and does not follow redirects.
func (b *board) browser() *http.Client {
	jar, _ := cookiejar.New(nil) // never fails
	return &http.Client{Jar: jar, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (b *board) do(c *http.Client, method, path string, form url.Values, fields ...string) (*http.Response, string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if r.Header.Set(fields[i], fields[i+1]); fields[i] == "Host" {
			r.Host = fields[i+1]
		}
	}
	resp, err := c.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp, string(body)
}

func (b *board) get(c *http.Client, path string, fields ...string) (*http.Response, string) {
	b.Helper()
	return b.do(c, http.MethodGet, path, nil, fields...)
}

// signedIn is a browser that has signed in by the password.
func (b *board) signedIn() *http.Client {
	b.Helper()
	c := b.browser()
	resp, body := b.do(c, http.MethodPost, "/sign-in", url.Values{"password": {b.password}, "next": {"/routes"}})
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/routes" {
		b.Fatalf("signing in: %s to %q\n%s", resp.Status, resp.Header.Get("Location"), body)
	}
	return c
}

// everyPage is all that can be looked at.
var everyPage = []string{
	"/", "/routes", "/routes?q=shop", "/routes/compose:shop/web/default", "/routes/none", "/containers", "/certificates",
	"/explain", "/explain?q=web.test", "/explain?q=odd.test", "/explain?q=" + url.QueryEscape(hostile), "/explain?q=web-1&header=bad", "/explain?q=web.test&client=nobody",
	"/log", "/log?level=debug&text=" + url.QueryEscape(hostile), "/log?level=" + url.QueryEscape(hostile), "/history", "/nothing", "/sign-in?next=" + url.QueryEscape(hostile), "/sign-in?token=x",
}

// Each page is there, says what it is to say, and nothing that others wrote is markup.
func TestPages(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	b.log.Warn("odd "+hostile, "host", hostile)
	b.admin.Failed(admin.Failure{Time: time.Now(), RouteID: "compose:shop/web/default", Route: "shop/web", Status: 502, Host: "web.test", Path: "/" + hostile, Cause: "refused " + hostile, RequestID: "r-17"})
	c := b.signedIn()
	says := map[string][]string{
		"/":                                {"Problems", "did you mean portway.host?", "data-number"},
		"/routes":                          {`<tr data-host="web.test">`, "/routes/compose:shop/web/default"},
		"/routes/compose:shop/web/default": {"r-17", "basic-auth", "(hidden)", "Test CA", "unhealthy: its health check fails"},
		"/containers":                      {`data-source="web-1"`, "did you mean portway.host?", `class="fix"`, "since both are on it", "since it is the only one", "unhealthy: its health check fails"},
		"/certificates":                    {"Test CA", "no such name", "2 failed tries", `class="renewal"`},
		"/explain?q=web.test":              {`id="explanation"`, "503: shop/web gets it, but no replica is ready", "r-17"},
		"/explain?q=odd.test":              {"404: ", "did you mean portway.host?"},
		"/explain?q=web-1&header=bad":      {"no header field"},
		"/log":                             {`<li class="line WARN">`, "odd "},
		"/history":                         {`id="history"`},
		"/nothing":                         {"There is no such page"},
	}
	for _, path := range everyPage {
		resp, body := b.get(c, path)
		if want := map[string]int{"/nothing": 404, "/routes/none": 404, "/sign-in?next=" + url.QueryEscape(hostile): 303}[path]; resp.StatusCode != max(want, 200) {
			t.Errorf("%s: %s", path, resp.Status)
		}
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "ZgotmplZ") {
			t.Errorf("%s: not escaped, or not fit to be:\n%s", path, body)
		}
		if strings.Contains(body, "hunter2") {
			t.Errorf("%s tells a secret", path)
		}
		for _, words := range says[path] {
			if !strings.Contains(body, words) {
				t.Errorf("%s: no %q in\n%s", path, words, body)
			}
		}
		if strings.Contains(body, " style=") || strings.Contains(body, " onclick=") {
			t.Errorf("%s has what the policy forbids", path)
		}
	}
	// What is rejected comes first.
	_, body := b.get(c, "/containers")
	if odd, good := strings.Index(body, "did you mean"), strings.Index(body, `data-source="web-1"`); odd < 0 || good < odd {
		t.Errorf("the problem is at %d, what is served at %d", odd, good)
	}
	if _, body := b.get(c, "/routes?q=no-such-thing"); strings.Contains(body, "data-host") || !strings.Contains(body, "0 fit") {
		t.Errorf("a search for what is not there:\n%s", body)
	}
}

// Whatever is answered, the browser is told to be strict, and to keep nothing.
func TestPolicyOnEveryPage(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	for _, c := range []*http.Client{b.browser(), b.signedIn()} {
		for _, path := range append(everyPage, "/live-not", "/assets/none") {
			resp, _ := b.get(c, path)
			h := resp.Header
			if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", path, h)
			}
		}
	}
	for _, unsafe := range []string{"unsafe", "*", "http"} {
		if strings.Contains(policy, unsafe) {
			t.Errorf("the policy has %q", unsafe)
		}
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	for name, kind := range map[string]string{"app.js": "text/javascript", "style.css": "text/css", "icon.svg": "image/svg+xml"} {
		resp, body := b.get(b.browser(), "/assets/"+name)
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) || body == "" {
			t.Errorf("%s: %s %s", name, resp.Status, resp.Header.Get("Content-Type"))
		}
		if strings.Contains(strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""), "://") {
			t.Errorf("%s asks another host", name)
		}
		if again, _ := b.get(b.browser(), "/assets/"+name, "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %s", name, again.Status)
		}
	}
}

// A new table, a failure of the route that is shown, and lines of the log come to an
// open page at once.
func TestLive(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	c := b.signedIn()
	b.log.Debug("too small")
	next := b.stream(c, "/live?log=info&text=&route=shop/web")
	next("hello", "")
	b.admin.SetTable(table(&route.Route{ID: "new", Name: "new", Source: `container "new"`, Hosts: []string{"new.test"}, Path: "/", HTTPS: route.Off}))
	next("change", `new is new`)
	b.admin.Failed(admin.Failure{Route: "shop/web", RouteID: "compose:shop/web/default", Status: 503, RequestID: "r-18"})
	next("change", "r-18")
	b.log.Debug("too small")
	b.log.Info("a line", "route", "other")
	b.log.Info("a line", "route", "shop/web", "n", 1)
	next("line", `"route":"shop/web"`)
	if _, body := b.get(c, "/routes"); !strings.Contains(body, `data-host="new.test"`) {
		t.Errorf("the new route is not there:\n%s", body)
	}
}

// Streams end with their session, with all of them, and with the Dashboard.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	b := newBoard(t, func(c *Config) {
		c.Traffic = func() []Traffic { return []Traffic{{Route: "shop/web", Requests: 7}} }
	})
	c := b.signedIn()
	next := b.stream(c, "/live?numbers=1")
	next("numbers", `"requests":"0"`)
	if _, err := b.account.newPassword(); err != nil {
		t.Fatal(err)
	}
	next("bye", "")
	if resp, _ := b.get(c, "/live"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stream without a session: %s", resp.Status)
	}
}

// stream opens one, and gives a function that waits for an event of a kind with a text.
func (b *board) stream(c *http.Client, path string) func(kind, text string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, b.server.URL+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		b.Fatalf("%s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(resp.Body)
	return func(kind, text string) {
		b.Helper()
		is := ""
		for lines.Scan() { // it ends with the client's time limit
			line := lines.Text()
			if strings.HasPrefix(line, "event: ") {
				is = strings.TrimPrefix(line, "event: ")
			}
			if strings.Contains(line, "too small") || is == "line" && strings.Contains(line, `"other"`) {
				b.Errorf("not asked for: %s", line)
			}
			if is == kind && strings.HasPrefix(line, "data: ") && strings.Contains(line, text) {
				return
			}
		}
		b.Fatalf("no %s with %q: %v", kind, text, lines.Err())
	}
}
