package middleware

import (
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// costly is a hash that takes its time and counts.
type costly struct {
	password string
	takes    time.Duration
	checks   *atomic.Int64
	now      atomic.Int64
	most     atomic.Int64
}

func (c *costly) MatchesPassword(password string) bool {
	c.checks.Add(1)
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
	}
	time.Sleep(c.takes)
	return password == c.password
}

func basic(credentials string) string {
	return "GET /\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

// status serves one request and tells what came of it.
func status(t testing.TB, h exchange.Handler, text string) int {
	t.Helper()
	ex := request(t, text)
	defer finish(ex)
	h.Serve(ex)
	return ex.Response.Status
}

func okay(ex *exchange.Exchange) { ex.Response.Status = 200 }

// A password that was right is checked once; one that was not, each time; and a user
// who is not there takes as long as one who is.
func TestPasswordsAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int64
		m := &basicAuth{realm: "x", users: []user{
			{"bob", &costly{password: "b", takes: time.Second, checks: &checks}},
			{"ann", &costly{password: "a", takes: time.Second, checks: &checks}},
		}}
		h := m.Wrap(exchange.HandlerFunc(okay))
		for i, tt := range []struct {
			credentials  string
			status, cost int
		}{
			{"bob:b", 200, 1},
			{"bob:b", 200, 0},
			{"bob:x", 401, 1},
			{"bob:x", 401, 1},
			{"bob:b", 200, 0}, // guesses of others do not make us forget
			{"ann:b", 401, 1},
			{"ann:a", 200, 1},
			{"bob:b", 200, 0},
			{"ann:a", 200, 0},
			{"eve:b", 401, 1}, // like somebody who is there
			{"bo:bb", 401, 1}, // not the name of bob and the password b in another way
			{"bob:", 401, 1},
		} {
			before, start := checks.Load(), time.Now()
			if got := status(t, h, basic(tt.credentials)); got != tt.status {
				t.Errorf("%d, %s: status %d, want %d", i, tt.credentials, got, tt.status)
			}
			if n := int(checks.Load() - before); n != tt.cost || time.Since(start) != time.Duration(tt.cost)*time.Second {
				t.Errorf("%d, %s: %d checks in %v, want %d", i, tt.credentials, n, time.Since(start), tt.cost)
			}
		}
	})
}

// A browser asks for many things at once: that is one check. Guessing keeps nobody out
// who is in already, and takes only a part of the processors.
func TestPasswordsUnderConcurrentLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int64
		bob := &costly{password: "b", takes: time.Second, checks: &checks}
		m := &basicAuth{realm: "x", users: []user{{"bob", bob}}}
		h := m.Wrap(exchange.HandlerFunc(okay))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if got := status(t, h, basic("bob:b")); got != 200 {
					t.Errorf("status %d", got)
				}
			})
		}
		wg.Wait()
		slots := int64(cap(h.(*guard).slots))
		if n := checks.Load(); n > slots {
			t.Errorf("%d checks for one password, at most %d are to be expected", n, slots)
		}
		for range 20 {
			wg.Go(func() {
				if got := status(t, h, basic("bob:guess")); got != 401 {
					t.Errorf("status %d", got)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if got := status(t, h, basic("bob:b")); got != 200 || time.Since(start) > 0 {
			t.Errorf("status %d after %v while others guess", got, time.Since(start))
		}
		wg.Wait()
		if n := bob.most.Load(); n > slots {
			t.Errorf("%d checks at the same time, at most %d are allowed", n, slots)
		}
	})
}

// Nobody pays for those who have gone away while they waited.
func TestPasswordsOfClientsThatAreGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int64
		m := &basicAuth{realm: "x", users: []user{{"bob", &costly{password: "b", takes: time.Second, checks: &checks}}}}
		h := m.Wrap(exchange.HandlerFunc(okay))
		for range cap(h.(*guard).slots) {
			go status(t, h, basic("bob:guess"))
		}
		synctest.Wait()
		ex := request(t, basic("bob:b"))
		done := make(chan struct{})
		go func() {
			h.Serve(ex)
			close(done)
		}()
		synctest.Wait()
		before := checks.Load()
		ex.Cancel(errors.New("gone"))
		<-done
		if checks.Load() != before || ex.Response.Status != 401 {
			t.Errorf("%d more checks, status %d", checks.Load()-before, ex.Response.Status)
		}
		finish(ex)
	})
}

// bcrypt as htpasswd makes it, through the whole chain, once more than it is paid for.
func TestBcryptIsPaidOnce(t *testing.T) {
	t.Parallel()
	h := chain(t, label.Values{"basic-auth": typical["basic-auth"]}, okay)
	serve := func() {
		if got := status(t, h, basic("bob:open sesame")); got != 200 {
			t.Fatalf("status %d", got)
		}
	}
	serve()
	if a := h.(*guard).users["bob"]; a.right.Load() == nil {
		t.Error("the password is not remembered")
	}
	serve()
}

// What messages say about a secret is nothing.
func TestProblemsOfUsersAreSecret(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"bob", "bob:hunter2", "hunter2:", ":hunter2", "bob:$2y$hunter2", "bob:$apr1$hunter2", "bob:{SHA}hunter2",
		"bob:$2y$99$hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2", "a\x00hunter2:{SHA}87u9ZqY9S/F0eUBXjsPQEDUw4h0=",
		"hunter2:{SHA}87u9ZqY9S/F0eUBXjsPQEDUw4h0=,hunter2:{SHA}87u9ZqY9S/F0eUBXjsPQEDUw4h0=",
	} {
		_, problems := parse(label.Values{"basic-auth": value})
		if len(problems) != 1 || strings.Contains(problems[0].String(), "hunter2") || !strings.Contains(problems[0].Why, "entry ") {
			t.Errorf("%q: %v", value, problems)
		}
	}
}

// Users that differ only in a password must not be taken for equal by the proxy, which
// would go on with the old ones.
func TestUsersWithOtherPasswordsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]any{}
	for _, value := range []string{
		typical["basic-auth"],
		strings.Replace(typical["basic-auth"], "/VVP6", "/VVP7", 1),
		"bob:{SHA}87u9ZqY9S/F0eUBXjsPQEDUw4h0=",
		"bob:{SHA}97u9ZqY9S/F0eUBXjsPQEDUw4h0=",
		"bob:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/",
		"bob:$apr1$abcdefgi$h9FWgUz3n9YxylKLlR5SQ/",
		"bob:$apr1$abcdefgi$h9FWgUz3n9YxylKLlR5SQ.",
	} {
		binders, problems := parse(label.Values{"basic-auth": value})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for other, b := range seen {
			if reflect.DeepEqual(binders, b) {
				t.Errorf("%s and %s are equal", value, other)
			}
		}
		seen[value] = binders
	}
}

// FuzzAuthorization: no value of the field gets in but those that hold the name and
// password, and none does harm.
func FuzzAuthorization(f *testing.F) {
	var checks atomic.Int64
	m := &basicAuth{realm: "x", header: "X-User", users: []user{{"bob", &costly{password: "b:b", checks: &checks}}}}
	var told string
	h := m.Wrap(exchange.HandlerFunc(func(ex *exchange.Exchange) {
		okay(ex)
		told = string(ex.Request.Fields.Get("x-user"))
	}))
	for _, seed := range []string{
		"Basic Ym9iOmI6Yg==", "basic   Ym9iOmI6Yg==", "Basic", "Basic ", "Basic Ym9iOmI6Yg", "Basic Ym9iOmI6Yh==", "Bearer Ym9iOmI6Yg==",
		"Basic Ym9iOmI6Yg== ", "Basic Ym9i\nOmI6Yg==", "Basic " + strings.Repeat("Ym9i", 300),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		ex := request(t, "GET /")
		defer finish(ex)
		ex.Request.Fields.AddString("Authorization", value)
		h.Serve(ex)
		scheme, encoded, _ := strings.Cut(value, " ")
		decoded, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(encoded, " "))
		want := strings.EqualFold(scheme, "basic") && err == nil && string(decoded) == "bob:b:b"
		if got := ex.Response.Status == 200; got != want || got && told != "bob" {
			t.Errorf("%q: let in: %v as %q, want %v", value, got, told, want)
		}
	})
}
