package dashboard

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Too many wrong passwords, and even the right one has to wait; a link works still.
func TestTooManyTries(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	for range triesOfOne {
		if resp, _ := b.do(b.browser(), http.MethodPost, "/sign-in", url.Values{"password": {"guess"}}); resp.StatusCode != http.StatusForbidden {
			t.Fatalf("%s", resp.Status)
		}
	}
	// How fast passwords are checked depends on the machine, and so may a try come back.
	if wait := func() time.Duration { _, _, w := b.tries.take("127.0.0.1", time.Now()); return w }(); wait > 0 {
		resp, body := b.do(b.browser(), http.MethodPost, "/sign-in", url.Values{"password": {b.password}})
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "Too many tries") {
			t.Errorf("the next: %s\n%s", resp.Status, body)
		}
	}
	c := b.browser()
	if resp, _ := b.do(c, http.MethodPost, "/sign-in", url.Values{"token": {b.links.add(time.Now())}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a link: %s", resp.Status)
	}
}

// The bounds themselves, with time under control.
func TestTries(t *testing.T) {
	t.Parallel()
	var all tries
	now := time.Unix(1000, 0)
	take := func(client string) (good func(), wait time.Duration) {
		good, done, wait := all.take(client, now)
		if wait == 0 {
			done()
		}
		return good, wait
	}
	for i := range triesOfOne {
		if _, wait := take("2001:db8::" + string(rune('1'+i))); wait != 0 {
			t.Fatalf("try %d has to wait %v", i, wait)
		}
	}
	if _, wait := take("2001:db8::ffff"); wait <= 0 || wait > refillOfOne {
		t.Errorf("of the same network: %v", wait)
	}
	if _, wait := take("192.0.2.1"); wait != 0 {
		t.Errorf("another client waits: %v", wait)
	}
	now = now.Add(refillOfOne)
	good, wait := take("2001:db8::1")
	if wait != 0 {
		t.Errorf("after a while: %v", wait)
	}
	good()
	for i := range triesOfOne {
		if _, wait := take("2001:db8::1"); wait != 0 {
			t.Errorf("after the right password: try %d waits %v", i, wait)
		}
	}
	// Many clients together.
	waited := false
	for i := range 2 * triesOfAll {
		_, wait := take("10.0." + string(rune('0'+i%10)) + "." + string(rune('0'+i/10%10)))
		waited = waited || wait > 0
	}
	if !waited {
		t.Error("many clients have no bound")
	}
	// While passwords are checked, others wait, since each takes a processor.
	now = now.Add(time.Hour)
	for range checkingOnce {
		if _, _, wait := all.take("192.0.2.9", now); wait != 0 {
			t.Fatal(wait)
		}
	}
	if _, _, wait := all.take("192.0.2.10", now); wait != time.Second {
		t.Errorf("one too many at once: %v", wait)
	}
	// Clients are not remembered without end.
	all.busy = 0
	for i := range 3 * maxRemember {
		all.all.used = 0
		_, done, wait := all.take("10."+string(rune('0'+i%10))+"."+itoa(i/256%256)+"."+itoa(i%256), now)
		if wait == 0 {
			done()
		}
		if len(all.clients) > maxRemember {
			t.Fatalf("%d clients", len(all.clients))
		}
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// The command's link signs in once, and not for ever.
func TestLink(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	ask := func(path string) (s SignIn) {
		t.Helper()
		w := httptest.NewRecorder()
		b.Control().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != 200 || len(s.Links) != 1 {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
		return s
	}
	link := strings.TrimPrefix(ask("/v1/dashboard/link").Links[0], b.server.URL)
	_, token, _ := strings.Cut(link, "token=")
	c := b.browser()
	// To look at it uses nothing up: programs look at links ahead of people.
	for range 2 {
		if resp, body := b.get(c, link); resp.StatusCode != 200 || !strings.Contains(body, `name="token" value="`+token+`"`) {
			t.Fatalf("%s\n%s", resp.Status, body)
		}
	}
	use := func(c *http.Client, token string) int {
		resp, _ := b.do(c, http.MethodPost, "/sign-in", url.Values{"token": {token}})
		return resp.StatusCode
	}
	if got := use(c, token); got != http.StatusSeeOther {
		t.Errorf("first: %d", got)
	}
	if resp, _ := b.get(c, "/"); resp.StatusCode != 200 {
		t.Errorf("signed in: %s", resp.Status)
	}
	if got := use(b.browser(), token); got != http.StatusForbidden {
		t.Errorf("again: %d", got)
	}
	if old := b.links.add(time.Now().Add(-linkTime)); use(b.browser(), old) != http.StatusForbidden {
		t.Error("an old link works")
	}
	kept := b.links.add(time.Now())
	for range 3 * maxLinks {
		b.links.add(time.Now().Add(time.Second))
	}
	if n := len(b.links.until); n != maxLinks || use(b.browser(), kept) != http.StatusForbidden {
		t.Errorf("%d links are kept", n)
	}
	// A new password ends sessions, links, and the old password.
	before := b.links.add(time.Now())
	s := ask("/v1/dashboard/password")
	if resp, _ := b.get(c, "/"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a session outlives the password: %s", resp.Status)
	}
	if b.account.check(b.password) || !b.account.check(s.Password) || use(b.browser(), before) != http.StatusForbidden {
		t.Error("the old password or link works, or the new password does not")
	}
}
