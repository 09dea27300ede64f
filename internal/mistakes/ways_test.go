package mistakes

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"portway/admin"
	"portway/admin/dashboard"
	"portway/doctor"
	"portway/lint"
	"portway/proxy"
)

// ways are those of asking what is wrong, each a section of all cases.
var ways = []string{"lint", "explain", "doctor", "dashboard", "log"}

// lint is what portway lint says of compose files with the mistake.
func (c *instance) lint(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site")
	for _, name := range []string{"compose.yaml", "routes.yaml"} {
		path := filepath.Join(dir, name)
		if name == "routes.yaml" {
			path = filepath.Join(dir, "routes", name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if text, ok := c.files[name]; ok {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := lint.Run(t.Context(), lint.Config{
		Paths: []string{dir}, Env: map[string]string{}, Middleware: proxy.Binders, Routes: filepath.Join(dir, "routes"),
		Settings: func([]string, map[string]string) (lint.Settings, []string) {
			return lint.Settings{Storage: "/data"}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return c.steady(strings.ReplaceAll(b.String(), dir+"/", ""))
}

// doctor is what portway doctor says that is not good, of what has to do with the case: the
// engine, the storage folder, and names with their certificates.
func (c *instance) doctor(t *testing.T) string {
	t.Helper()
	all := doctor.Engine(t.Context(), c.engine)
	if a := c.acme; a != nil {
		all = append(all, doctor.Storage(a.storage))
		for _, x := range c.certificates() {
			all = append(all, doctor.Certificates([]doctor.Certificate{{Name: x.Name, Valid: x.State == "valid", LastError: x.LastError}})...)
		}
		names := doctor.Names{Checker: a.checker, Own: []netip.Addr{loopback}, Public: []netip.Addr{loopback}, Serving: c.http, Port: a.port}
		for _, r := range c.admin.Routes() {
			names.Hosts = append(names.Hosts, r.Hosts...)
		}
		all = append(all, names.Look(t.Context())...)
	}
	var b strings.Builder
	for _, f := range all {
		if f.Status != doctor.Good {
			b.WriteString(f.String() + "\n")
		}
	}
	return c.steady(b.String())
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// dashboard is what stands out for whoever has signed in: on the explain page the verdict,
// problems, marks of what is bad, and what to do; and problems on the page of containers.
func (c *instance) dashboard(t *testing.T, who *owner) string {
	t.Helper()
	s := who.open(t, c.admin)
	defer s.Close()
	ask := url.Values{"q": {strings.TrimSpace(c.files["ask"])}, "method": {"GET"}}
	send := func(path string, form url.Values) *html.Node {
		var resp *http.Response
		var err error
		if form != nil {
			resp, err = who.browser.PostForm(s.URL+path, form)
		} else {
			resp, err = who.browser.Get(s.URL + path)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		page, err := html.Parse(io.LimitReader(resp.Body, 10<<20))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", path, resp.Status, err)
		}
		return page
	}
	page := send("/explain?"+ask.Encode(), nil)
	if c.files["live"] != "" {
		page = send("/explain", ask)
	}
	text := ""
	add := func(page *html.Node, classes ...string) {
		for line := range standing(page, classes...) {
			if !strings.Contains(text, line) {
				text += line + "\n"
			}
		}
	}
	add(page, "verdict", "problem", "bad", "fix")
	add(send("/containers", nil), "problem")
	return c.steady(text)
}

// owner has signed in to the dashboards of all cases, which have one folder and so know it:
// checking a password takes long, as it should.
type owner struct {
	folder, password string
	browser          *http.Client
}

func signIn(t *testing.T) *owner {
	t.Helper()
	jar, _ := cookiejar.New(nil) // fails never without options
	who := &owner{folder: t.TempDir(), browser: &http.Client{Jar: jar}}
	s := who.open(t, admin.New(admin.Config{}))
	defer s.Close()
	resp, err := who.browser.PostForm(s.URL+"/sign-in", url.Values{"password": {who.password}, "next": {"/"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return who
}

// open serves a dashboard.
func (who *owner) open(t *testing.T, a *admin.Server) *httptest.Server {
	t.Helper()
	d, err := dashboard.New(dashboard.Config{Admin: a, Folder: who.folder, FirstPassword: func(p string) { who.password = p }})
	if err != nil {
		t.Fatal(err)
	}
	return httptest.NewServer(d.Direct())
}

// standing gives the text of the outermost elements that have one of the classes.
func standing(n *html.Node, classes ...string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var walk func(n *html.Node) bool
		walk = func(n *html.Node) bool {
			if n.Type == html.ElementNode && hasClass(n, classes) {
				return yield(strings.Join(strings.Fields(textOf(n)), " "))
			}
			for x := range n.ChildNodes() {
				if !walk(x) {
					return false
				}
			}
			return true
		}
		walk(n)
	}
}

func hasClass(n *html.Node, classes []string) bool {
	for _, a := range n.Attr {
		if a.Key != "class" {
			continue
		}
		for has := range strings.FieldsSeq(a.Val) {
			for _, c := range classes {
				if has == c {
					return true
				}
			}
		}
	}
	return false
}

func textOf(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for x := range n.ChildNodes() {
		b.WriteString(textOf(x))
		if x.Type == html.ElementNode && (x.Data == "p" || x.Data == "div") {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// certificates is what their owner says, without times.
func (c *instance) certificates() (all []admin.Certificate) {
	if c.acme == nil {
		return nil
	}
	for _, s := range c.acme.manager.All() {
		all = append(all, admin.Certificate{Name: s.Name, State: string(s.State), Issuer: s.Issuer, LastError: s.LastError, Attempts: s.Attempts})
	}
	return all
}
