package exampletest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
)

// send makes a request for https://host/path, with fields ("Name: value"), and tells
// what whoami saw if it was reached.
func (e *example) send(c *http.Client, method, host, path string, fields ...string) (*http.Response, string, seen, error) {
	req, err := http.NewRequest(method, fmt.Sprintf("https://%s:%d%s", host, e.https, path), nil)
	if err != nil {
		return nil, "", seen{}, err
	}
	req.Header.Set("Accept", "application/json")
	for _, f := range fields {
		if name, value, ok := strings.Cut(f, ": "); ok {
			req.Header.Set(name, value)
		}
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", seen{}, err
	}
	text, err := body(resp, nil)
	if resp.StatusCode != http.StatusOK {
		err = nil // for whoever asks to judge
	}
	var what seen
	_ = json.Unmarshal([]byte(text), &what) // it may be of another kind
	return resp, text, what, err
}

// replicas asks until n of them have answered.
func (e *example) replicas(t *testing.T, c *http.Client, host string, n int, fields func(i int) string) map[string]bool {
	t.Helper()
	names, i := map[string]bool{}, 0
	eventually(t, func() error {
		field := ""
		if i++; fields != nil {
			field = fields(i)
		}
		_, _, what, err := e.send(c, http.MethodGet, host, "/", field)
		if err != nil {
			return err
		}
		if what.Name != "" {
			names[what.Name] = true
		}
		if len(names) < n {
			return fmt.Errorf("only %v of %d answer", names, n)
		}
		return nil
	})
	return names
}

func TestBalance(t *testing.T) {
	run(t, "balance", nil, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		e.replicas(t, c, "shop."+e.suffix, 3, nil)

		// Visitors stay; a new one comes to the next replica.
		chat := "chat." + e.suffix
		e.replicas(t, c, chat, 3, nil)
		visitor := *c
		visitor.Jar, _ = cookiejar.New(nil)
		resp, _, first, err := e.send(&visitor, http.MethodGet, chat, "/")
		if err != nil {
			t.Fatal(err)
		}
		if cookie := resp.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "replica=") || !strings.Contains(cookie, "Max-Age=86400") ||
			!strings.Contains(cookie, "Secure") || !strings.Contains(cookie, "HttpOnly") {
			t.Errorf("the cookie is %q", cookie)
		}
		for range 8 {
			if _, _, again, err := e.send(&visitor, http.MethodGet, chat, "/"); err != nil || again.Name != first.Name {
				t.Fatalf("a visitor of %s gets to %s (%v)", first.Name, again.Name, err)
			}
		}

		// One tenant has one replica, and not all have the same.
		tiles := "tiles." + e.suffix
		tenant := func(i int) string { return fmt.Sprintf("X-Tenant: %d", i) }
		e.replicas(t, c, tiles, 3, tenant)
		for i := range 4 {
			names := map[string]bool{}
			for range 4 {
				_, _, what, err := e.send(c, http.MethodGet, tiles, "/", tenant(i))
				if err != nil {
					t.Fatal(err)
				}
				names[what.Name] = true
			}
			if len(names) != 1 {
				t.Errorf("tenant %d has %v", i, names)
			}
		}

		// gRPC health checks are passed, and both are there.
		e.replicas(t, c, "jobs."+e.suffix, 2, nil)
		log := e.output("logs", "--no-color", "portway")
		for _, what := range []string{"shop_", "shop-", "jobs_", "jobs-"} {
			if strings.Contains(log, "fails its health check") && strings.Contains(log, e.project+what) {
				t.Errorf("a check fails:\n%s", log)
			}
		}

		// Whichever passed its health check first has all requests until the other does.
		blog := "blog." + e.suffix
		share := func(n int) (map[string]int, error) {
			count := map[string]int{}
			for range n {
				_, _, what, err := e.send(c, http.MethodGet, blog, "/")
				if err != nil {
					return nil, err
				}
				count[what.Name]++
			}
			return count, nil
		}
		eventually(t, func() error {
			if count, err := share(4); err != nil || count["blog"] != 3 || count["blog-new"] != 1 {
				return errors.Join(err, fmt.Errorf("4 requests went to %v", count))
			}
			return nil
		})
		if count, err := share(20); err != nil || count["blog"] != 15 || count["blog-new"] != 5 {
			t.Errorf("20 requests went to %v (%v)", count, err)
		}
	})
}
