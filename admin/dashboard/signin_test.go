package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"portway/admin"
)

// Nobody sees anything without signing in, but the page for that and what it loads.
func TestNothingWithoutSigningIn(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	for _, path := range everyPage {
		if strings.HasPrefix(path, "/sign-in") {
			continue
		}
		resp, body := b.get(b.browser(), path)
		if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(resp.Header.Get("Location"), "/sign-in") || strings.Contains(body, "shop/web") {
			t.Errorf("%s: %s to %q\n%s", path, resp.Status, resp.Header.Get("Location"), body)
		}
	}
	for _, path := range []string{"/explain", "/live"} {
		if resp, _ := b.do(b.browser(), http.MethodPost, path, url.Values{"q": {"web.test"}}); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("POST %s: %s", path, resp.Status)
		}
	}
	resp, _ := b.get(b.browser(), "/explain?q=web.test&method=GET")
	if got := resp.Header.Get("Location"); got != "/sign-in?next="+url.QueryEscape("/explain?q=web.test&method=GET") {
		t.Errorf("who signs in would not come back: %q", got)
	}
	_, body := b.get(b.browser(), "/sign-in?next=%2Fexplain%3Fq%3Dweb.test")
	if !strings.Contains(body, `id="sign-in"`) || !strings.Contains(body, `name="password"`) || !strings.Contains(body, `value="/explain?q=web.test"`) {
		t.Errorf("%s", body)
	}
}

// The password signs in, others do not; its hash alone is stored, for the owner only,
// and a session lasts through a restart.
func TestPassword(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	if len(b.password) < 26 {
		t.Errorf("the first password is %q", b.password)
	}
	c := b.browser()
	resp, body := b.do(c, http.MethodPost, "/sign-in", url.Values{"password": {b.password + "x"}})
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "not the password") || resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("a wrong one: %s %s", resp.Status, body)
	}
	if resp, _ := b.get(c, "/"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("and then: %s", resp.Status)
	}
	path := filepath.Join(b.cfg.Folder, "account.json")
	text, err := os.ReadFile(path)
	if err != nil || bytes.Contains(text, []byte(b.password)) {
		t.Errorf("%v; the file has the password itself:\n%s", err, text)
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil || bcrypt.CompareHashAndPassword([]byte(s.Password), []byte(b.password)) != nil {
		t.Errorf("%v: not its hash: %+v", err, s)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for _, x := range b.cfg.Log.Lines(admin.LineFilter{Level: -4}) {
		if line, _ := json.Marshal(x); bytes.Contains(line, []byte(b.password)) {
			t.Errorf("the kept log has the password: %s", line)
		}
	}
	c = b.signedIn()
	first, address := b.password, b.server.URL
	b.password = ""
	b.serve()
	if b.password != "" {
		t.Error("a restart made a new password")
	}
	there, _ := url.Parse(address)
	here, _ := url.Parse(b.server.URL)
	c.Jar.SetCookies(here, c.Jar.Cookies(there))
	if resp, _ := b.get(c, "/"); resp.StatusCode != 200 {
		t.Errorf("the session after a restart: %s", resp.Status)
	}
	b.password = first
	b.signedIn()
}

// A session that was signed out is of no use to whoever has copied its cookie, after a
// restart either.
func TestSignOut(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	c, other := b.signedIn(), b.signedIn()
	at, _ := url.Parse(b.server.URL)
	cookies := c.Jar.Cookies(at)
	if len(cookies) != 1 || cookies[0].Name != "portway" {
		t.Fatalf("%v", cookies)
	}
	if resp, _ := b.do(c, http.MethodPost, "/sign-out", nil); resp.StatusCode != http.StatusSeeOther || len(c.Jar.Cookies(at)) != 0 {
		t.Errorf("%s %v", resp.Status, c.Jar.Cookies(at))
	}
	if b.account.valid(cookies[0].Value) {
		t.Error("the copy works")
	}
	again, _, err := openAccount(b.cfg.Folder, bcrypt.MinCost)
	if err != nil || again.valid(cookies[0].Value) {
		t.Errorf("the copy works after a restart (%v)", err)
	}
	if resp, _ := b.get(other, "/"); resp.StatusCode != 200 {
		t.Errorf("another session: %s", resp.Status)
	}
	// What has ended by itself is not kept.
	again.now = func() time.Time { return time.Now().Add(sessionTime + time.Hour) }
	if err := again.end(again.begin()); err != nil || len(again.stored.Ended) != 1 {
		t.Errorf("%v %v", err, again.stored.Ended)
	}
}

// A session ends by itself, and nobody can make one up.
func TestSession(t *testing.T) {
	t.Parallel()
	a, _, err := openAccount(t.TempDir(), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := openAccount(t.TempDir(), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	token := a.begin()
	if !a.valid(token) || other.valid(token) {
		t.Error("a session is valid where it began, and nowhere else")
	}
	for i := range token {
		changed := []byte(token)
		if changed[i] = 'A'; token[i] == 'A' {
			changed[i] = 'B'
		}
		if a.valid(string(changed)) {
			t.Errorf("changed at %d it is valid", i)
		}
	}
	a.now = func() time.Time { return time.Now().Add(sessionTime + time.Second) }
	if a.valid(token) {
		t.Error("it never ends")
	}
}

// Requests that another site's page makes change nothing.
func TestOtherSites(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	c := b.signedIn()
	for _, fields := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"}} {
		for _, path := range []string{"/sign-out", "/sign-in", "/explain"} {
			if resp, _ := b.do(c, http.MethodPost, path, url.Values{"password": {b.password}, "q": {"web.test"}}, fields...); resp.StatusCode != http.StatusForbidden || resp.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s with %v: %s", path, fields, resp.Status)
			}
		}
	}
	if resp, _ := b.get(c, "/"); resp.StatusCode != 200 {
		t.Errorf("signed out: %s", resp.Status)
	}
	// A link on another site leads back here, from where the browser sends the cookie.
	resp, body := b.get(b.browser(), "/explain?q=web.test", "Sec-Fetch-Site", "cross-site")
	if resp.StatusCode != 200 || !strings.Contains(body, `content="0; url=/explain?q=web.test"`) {
		t.Errorf("%s\n%s", resp.Status, body)
	}
	// Names that anybody can have lead here are not answered at.
	for host, want := range map[string]int{
		"evil.test": 421, "board.test": 303, "board.test:8420": 303, "127.0.0.1.evil.test": 421, "localhost:1": 303, "[::1]:8420": 303,
		"192.0.2.1": 303, "nas": 303, "nas:8420": 303, "board.localhost": 303, "notboard.test": 421, "localhost.evil.test": 421,
	} {
		if resp, _ := b.get(b.browser(), "/", "Host", host); resp.StatusCode != want {
			t.Errorf("Host %s: %s, want %d", host, resp.Status, want)
		}
	}
}

// Signing in leads to a page of the dashboard and nowhere else.
func TestHere(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"": "/", "/": "/", "/routes?q=a b": "/routes?q=a b", "/explain?q=https%3A%2F%2Fa.test": "/explain?q=https%3A%2F%2Fa.test",
		"//evil.test": "/", `/\evil.test`: "/", "https://evil.test/": "/", "javascript:alert(1)": "/", "evil.test": "/", "/\t/evil.test": "/", "/\n/evil.test": "/", "/sign-in?next=x": "/", "/%zz": "/",
	} {
		if got := here(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// Behind Portway's own proxy the cookie is for HTTPS only, and the client is who the
// proxy says; over a port of our own nobody can claim either.
func TestRelayed(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	fields := map[string]string{"X-Real-Ip": "192.0.2.7", "X-Forwarded-Proto": "https"}
	post := func(h http.Handler, password string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "http://board.test/sign-in", strings.NewReader(url.Values{"password": {password}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for k, v := range fields {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := post(b.Relayed(), b.password)
	cookie := w.Header().Get("Set-Cookie")
	for _, part := range []string{"__Host-portway=", "; Secure", "; HttpOnly", "; SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("no %q in %q", part, cookie)
		}
	}
	if strings.Contains(cookie, "Domain") {
		t.Error(cookie)
	}
	post(b.Relayed(), "wrong")
	if w := post(b.Direct(), b.password); !strings.HasPrefix(w.Header().Get("Set-Cookie"), "portway=") {
		t.Errorf("direct: %q", w.Header().Get("Set-Cookie"))
	}
	post(b.Direct(), "wrong")
	var clients []string
	for _, x := range b.cfg.Log.Lines(admin.LineFilter{Text: "wrong password"}) {
		clients = append(clients, x.Attrs["client"].(string))
	}
	if len(clients) != 2 || clients[0] != "192.0.2.7" || clients[1] != "192.0.2.1" { // httptest's
		t.Errorf("%v", clients)
	}
}

// An account that cannot be read is no reason to let everybody in, or to make a new one.
func TestBrokenAccount(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{}", `{"password":"x","key":"AAAA"}`, "no JSON"} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "account.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := openAccount(folder, bcrypt.MinCost); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%q: %v", text, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openAccount(filepath.Join(file, "folder"), bcrypt.MinCost); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// No session is valid that was not begun here, whatever a cookie has; nothing panics.
func FuzzSession(f *testing.F) {
	a, _, err := openAccount(f.TempDir(), bcrypt.MinCost)
	if err != nil {
		f.Fatal(err)
	}
	token := a.begin()
	for _, seed := range []string{"", token, token[1:], token + "A", strings.ToLower(token), strings.Repeat("A", len(token))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if a.valid(text) && text != token {
			t.Errorf("%q is a session", text)
		}
		if next := here(text); !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.HasPrefix(next, `/\`) {
			t.Errorf("%q leads to %q", text, next)
		}
		_ = hostname(text)
		_ = network(text)
	})
}
