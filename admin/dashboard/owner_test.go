package dashboard

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// follow opens a link at a host, as a browser does there.
func (b *board) follow(method, host, link string) *http.Response {
	b.Helper()
	u, err := url.Parse(link)
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequestWithContext(b.Context(), method, "https://"+host+u.RequestURI(), nil)
	w := httptest.NewRecorder()
	b.Welcome().ServeHTTP(w, r)
	return w.Result()
}

// link is where the dashboard sends somebody who wants reasons at web.test.
func (b *board) link(c *http.Client, to string) string {
	b.Helper()
	resp, body := b.get(c, "/reasons?q="+url.QueryEscape(to))
	if resp.StatusCode != http.StatusSeeOther {
		b.Fatalf("%s: %s %s", to, resp.Status, body)
	}
	return resp.Header.Get("Location")
}

// Who has signed in gets a link to a site that he sees explained; it works there once,
// and the cookie makes him the owner at that host alone, until he signs out.
func TestOwnersLink(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	c := b.signedIn()
	if _, body := b.get(c, "/explain?q="+url.QueryEscape("https://web.test/x?a=1")); !strings.Contains(body, `href="/reasons?q=https%3A%2F%2Fweb.test%2Fx%3Fa%3D1"`) {
		t.Errorf("explain has no link: %s", body)
	}
	for _, q := range []string{"http://web.test/", "https://elsewhere.example/", "", "web-1"} {
		if resp, _ := b.get(c, "/reasons?q="+url.QueryEscape(q)); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%q: %s to %s", q, resp.Status, resp.Header.Get("Location"))
		}
	}
	if resp, _ := b.get(b.browser(), "/reasons?q=https%3A%2F%2Fweb.test%2F"); !strings.HasPrefix(resp.Header.Get("Location"), "/sign-in") {
		t.Errorf("a stranger is sent to %s", resp.Header.Get("Location"))
	}

	link := b.link(c, "https://web.test/x?a=1")
	if !strings.HasPrefix(link, "https://web.test"+OwnerPath+"?") {
		t.Fatal(link)
	}
	refused := func(what, method, host, link string) {
		t.Helper()
		if resp := b.follow(method, host, link); resp.StatusCode != http.StatusForbidden || resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %s, %s", what, resp.Status, resp.Header.Get("Set-Cookie"))
		}
	}
	refused("another host", http.MethodGet, "odd.test", link)
	refused("another method", http.MethodPost, "web.test", link)
	refused("no token", http.MethodGet, "web.test", OwnerPath)
	refused("forged", http.MethodGet, "web.test", OwnerPath+"?token="+forged(t, link))
	resp := b.follow(http.MethodGet, "WEB.test.:8443", link)
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/x?a=1" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s to %s", resp.Status, resp.Header.Get("Location"))
	}
	refused("used", http.MethodGet, "web.test", link)
	cookie := resp.Cookies()[0]
	if cookie.Name != "__Host-portway-owner" || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Domain != "" || cookie.Path != "/" {
		t.Errorf("%v", cookie)
	}
	owner := func(host string, cookie *http.Cookie) bool {
		at, ok := b.Owner(host, []*http.Cookie{{Name: "x", Value: "y"}, cookie})
		if ok && at != b.server.URL {
			t.Errorf("the dashboard is at %q", at)
		}
		return ok
	}
	if !owner("web.test", cookie) {
		t.Error("the cookie makes nobody the owner")
	}
	u, _ := url.Parse(b.link(c, "https://web.test/"))
	session := ""
	for _, s := range c.Jar.Cookies(&url.URL{Scheme: "http", Host: strings.TrimPrefix(b.server.URL, "http://"), Path: "/"}) {
		session = s.Value
	}
	for what, value := range map[string]string{"empty": "", "nothing": "x", "forged": forged(t, OwnerPath+"?token="+cookie.Value), "a link": u.Query().Get("token"), "a session": session} {
		if owner("web.test", &http.Cookie{Name: cookie.Name, Value: value}) {
			t.Errorf("%s makes somebody the owner", what)
		}
	}
	if owner("odd.test", cookie) || owner("sub.web.test", cookie) {
		t.Error("it is good for another host")
	}
	refused("a cookie as a link", http.MethodGet, "web.test", OwnerPath+"?token="+cookie.Value)
	unused := b.link(c, "https://web.test/")
	b.do(c, http.MethodPost, "/sign-out", nil)
	if owner("web.test", cookie) {
		t.Error("signed out, but still the owner")
	}
	refused("signed out", http.MethodGet, "web.test", unused)
}

// forged is the token of a link with another time in it.
func forged(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(u.Query().Get("token"))
	if err != nil || len(raw) < 8 {
		t.Fatal(link)
	}
	raw[0]++
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Links last a minute, cookies 12 hours, and neither longer than the session.
func TestOwnersTimes(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	now := time.Now()
	b.account.now = func() time.Time { return now }
	c := b.signedIn()
	old := b.link(c, "https://web.test/")
	link := b.link(c, "https://web.test/")
	cookie := b.follow(http.MethodGet, "web.test", link).Cookies()[0]
	now = now.Add(ownerLinkTime)
	if resp := b.follow(http.MethodGet, "web.test", old); resp.StatusCode != http.StatusForbidden {
		t.Errorf("an old link: %s", resp.Status)
	}
	now = now.Add(ownerTime - ownerLinkTime - time.Second)
	if _, ok := b.Owner("web.test", []*http.Cookie{cookie}); !ok {
		t.Error("the cookie ended too early")
	}
	now = now.Add(time.Second)
	if _, ok := b.Owner("web.test", []*http.Cookie{cookie}); ok {
		t.Error("the cookie does not end")
	}
	now = now.Add(sessionTime - ownerTime - time.Hour)
	cookie = b.follow(http.MethodGet, "web.test", b.link(c, "https://web.test/")).Cookies()[0]
	now = now.Add(time.Hour)
	if _, ok := b.Owner("web.test", []*http.Cookie{cookie}); ok {
		t.Error("the cookie outlasts the session")
	}
}

func TestExplainAddress(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	if got, want := b.Explain("", http.MethodGet, "https://web.test/a?b=c&d"), b.server.URL+"/explain?q=https%3A%2F%2Fweb.test%2Fa%3Fb%3Dc%26d"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := b.Explain("https://board.test", http.MethodPost, "https://web.test/"), "https://board.test/explain?q=https%3A%2F%2Fweb.test%2F&method=POST"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
