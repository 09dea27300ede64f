package exampletest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/network"

	"portway/internal/dockertest"
	"portway/internal/pebbletest"
)

func TestQuickstart(t *testing.T) {
	run(t, "quickstart", nil, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		host := "whoami." + e.suffix
		if f := e.reaches(t, c, host, "/"); f.Scheme != "https" || !strings.HasPrefix(f.Host, host) {
			t.Errorf("whoami saw %+v", f)
		}
		e.redirects(t, c, host)
		healthy(t, e.mustRun(t, "ps", "-q", "portway"))
		trust := e.mustRun(t, "exec", "-T", "portway", "/portway", "trust")
		if !strings.Contains(trust, "-----BEGIN CERTIFICATE-----") || !strings.Contains(trust, "/data/") {
			t.Errorf("portway trust says:\n%s", trust)
		}
	})
}

// realCA starts a real ACME server that resolves every name to this machine and comes by
// ports. useCA has a compose file's Portway ask that one.
func realCA(t *testing.T) (ca *pebbletest.Pebble, ports [2]int, useCA func(compose string) string) {
	t.Helper()
	engine := dockertest.Require(t)
	gateway := hostAddress(t, engine)
	ports = [2]int{freePort(t), freePort(t)}
	ca = pebbletest.Start(t, pebbletest.Options{Bind: gateway, Address: gateway, HTTPPort: ports[0], TLSPort: ports[1]})
	roots, err := os.ReadFile(ca.RootsFile)
	if err != nil {
		t.Fatal(err)
	}
	rootsFile := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(rootsFile, roots, 0o644); err != nil {
		t.Fatal(err)
	}
	return ca, ports, func(compose string) string {
		return strings.NewReplacer(
			"environment:\n", "environment:\n      PORTWAY_ACME_DIRECTORY: "+ca.Directory+"\n      PORTWAY_ACME_ROOTS: /roots.pem\n",
			"volumes:\n      -", "volumes:\n      - "+rootsFile+":/roots.pem:ro\n      -",
		).Replace(compose)
	}
}

// What the README of the example promises: a name and an address to write to,
// and nothing else. The CA is a real ACME server, in place of Let's Encrypt, that
// resolves every name to this machine and comes by the published ports.
func TestLetsEncrypt(t *testing.T) {
	ca, ports, useCA := realCA(t)
	// Sequential: both versions publish the ports that the CA comes by.
	for version, command := range composes(t) {
		t.Run(version, func(t *testing.T) {
			e := prepare(t, "letsencrypt", command, useCA)
			e.http, e.https = ports[0], ports[1]
			domain := strings.ToLower(e.project) + ".example.com"
			e.env = []string{"EMAIL=me@example.com", "DOMAIN=" + domain}
			e.up(t)
			if f := e.reaches(t, e.client(t, ca.Roots()), domain, "/"); f.Scheme != "https" {
				t.Errorf("whoami saw %+v", f)
			}
		})
	}
	if got, want := ca.Orders(), len(composes(t)); got != want {
		t.Errorf("%d orders for %d names", got, want)
	}
}

// hostAddress is an address of this machine that containers reach.
func hostAddress(t *testing.T, engine *dockertest.Engine) string {
	t.Helper()
	n, err := engine.NetworkInspect(t.Context(), engine.Network(t), network.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n.IPAM.Config[0].Gateway
}

func TestWildcardPaths(t *testing.T) {
	run(t, "wildcard-paths", nil, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		for _, tc := range []struct{ host, path, name, listen string }{
			{"shop.", "/", "shop", ":8080"},
			{"alice.shop.", "/", "shop", ":8080"},
			{"shop.", "/api", "api", ":8080"},
			{"shop.", "/api/orders", "api", ":8080"},
			{"shop.", "/apiary", "shop", ":8080"},
			{"alice.shop.", "/api", "shop", ":8080"},
			{"tool.", "/", "tool", ":8080"},
			{"admin.", "/", "tool", ":9090"},
		} {
			if f := e.reaches(t, c, tc.host+e.suffix, tc.path); f.Name != tc.name || f.Listen != tc.listen {
				t.Errorf("%s%s reaches %s at %s, want %s at %s", tc.host, tc.path, f.Name, f.Listen, tc.name, tc.listen)
			}
		}
		e.redirects(t, c, "shop."+e.suffix)
	})
}

// The second visitor gets what the first one waited for, until it is purged.
func TestCache(t *testing.T) {
	run(t, "cache", nil, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		host := "whoami." + e.suffix
		e.reaches(t, c, host, "/")
		said := func(query string, cookie ...string) string {
			t.Helper()
			req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://%s:%d/slow?delay=10ms%s", host, e.https, query), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range cookie {
				req.Header.Set("Cookie", c)
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			status, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Cache-Status"), "Portway; "), ";")
			return status
		}
		purge := func(what ...string) string {
			t.Helper()
			return e.mustRun(t, append([]string{"exec", "-T", "portway", "/portway", "cache", "purge"}, what...)...)
		}
		for i, step := range []struct{ got, want string }{
			{said(""), "fwd=uri-miss"},
			{said("&utm_source=mail"), "hit"},
			{said("", "session=1"), "fwd=bypass"},
			{purge("--prefix", fmt.Sprintf("https://%s:%d/slow", host, e.https)), "dropped: 1"},
			{said(""), "fwd=uri-miss"},
			{purge("--all"), "dropped: 1"},
			{said(""), "fwd=uri-miss"},
		} {
			if step.got != step.want {
				t.Errorf("step %d: %q, want %q", i, step.got, step.want)
			}
		}
	})
}

func TestStaticRoutes(t *testing.T) {
	run(t, "static-routes", nil, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		for _, name := range []string{"nas", "container"} {
			host := map[string]string{"nas": "nas.", "container": "whoami."}[name] + e.suffix
			if f := e.reaches(t, c, host, "/"); f.Name != name {
				t.Errorf("%s reaches %s, want %s", host, f.Name, name)
			}
		}
		// As the README says, a file may come at any time.
		added := "added:\n  host: added." + e.suffix + "\n  to: http://nas:8080\n"
		if err := os.WriteFile(filepath.Join(e.folder, "routes", "added.yaml"), []byte(added), 0o644); err != nil {
			t.Fatal(err)
		}
		if f := e.reaches(t, c, "added."+e.suffix, "/"); f.Name != "nas" {
			t.Errorf("the added route reaches %s", f.Name)
		}
	})
}

// Of twenty requests, two get to the canary, whatever the weather.
func TestCanary(t *testing.T) {
	run(t, "canary", nil, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		host := "shop." + e.suffix
		url := fmt.Sprintf("https://%s:%d", host, e.https)
		ask := func(path, field, value string) (name string) {
			t.Helper()
			req, err := http.NewRequest(http.MethodGet, url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", "application/json")
			if field != "" {
				req.Header.Set(field, value)
			}
			text, err := body(c.Do(req))
			if err != nil {
				t.Fatal(err)
			}
			var f facts
			if err := json.Unmarshal([]byte(text), &f); err != nil {
				t.Fatal(err)
			}
			return f.Name
		}
		e.reaches(t, c, host, "/")
		eventually(t, func() error { // all three are there
			_, err := body(c.Get(url))
			if log := e.output("logs", "--no-color", "rewrite"); err == nil && !strings.Contains(log, "GET") {
				err = errors.New("nothing is mirrored")
			}
			return err
		})
		// Whichever passes its health check first has all requests until the other does.
		eventually(t, func() error {
			seen := map[string]int{}
			for range 10 {
				seen[ask("/", "", "")]++
			}
			if seen["shop"] != 9 || seen["next"] != 1 {
				return fmt.Errorf("ten requests went to %v", seen)
			}
			return nil
		})
		for range 3 {
			seen := map[string]int{}
			for range 20 {
				seen[ask("/counted", "", "")]++
			}
			if seen["shop"] != 18 || seen["next"] != 2 {
				t.Errorf("20 requests went to %v", seen)
			}
		}
		for range 5 {
			if name := ask("/", "X-Version", "next"); name != "next" {
				t.Errorf("by the header: %s", name)
			}
			if name := ask("/", "Cookie", "a=b; version=next"); name != "next" {
				t.Errorf("by the cookie: %s", name)
			}
		}
		// Exactly half of the 60, and of each 20.
		eventually(t, func() error {
			if n := strings.Count(e.output("logs", "--no-color", "rewrite"), `"/counted"`); n != 30 {
				return fmt.Errorf("%d of 60 requests were mirrored", n)
			}
			return nil
		})
	})
}

// Nothing is lost while the service dies and comes back.
func TestFailover(t *testing.T) {
	run(t, "failover", nil, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		host := "shop." + e.suffix
		answers := func(name string) {
			t.Helper()
			eventually(t, func() error {
				// reaches waits for an answer; that it is one at once is counted below.
				if got := e.reaches(t, c, host, "/").Name; got != name {
					return fmt.Errorf("%s answers, want %s", got, name)
				}
				return nil
			})
		}
		answers("shop")
		done, failed := make(chan struct{}), make(chan error, 1)
		var asked int
		go func() {
			defer close(failed)
			for ; ; asked++ {
				select {
				case <-done:
					return
				default:
				}
				if _, err := body(c.Get(fmt.Sprintf("https://%s:%d/", host, e.https))); err != nil {
					failed <- err
					return
				}
			}
		}()
		for _, command := range [][2]string{{"kill", "start"}, {"stop", "start"}} {
			e.mustRun(t, command[0], "shop")
			answers("sorry")
			e.mustRun(t, command[1], "shop")
			answers("shop")
		}
		close(done)
		if err := <-failed; err != nil {
			t.Errorf("after %d requests, one failed: %v", asked, err)
		}
		t.Logf("%d requests while the service was killed and stopped, none failed", asked)
		if log := e.output("logs", "--no-color", "portway"); !strings.Contains(log, "passes its health check") {
			t.Errorf("the log says nothing of health checks:\n%s", log)
		}
	})
}

// The image of oauth2-proxy is made of its own source, since there is no registry here.
func TestForwardAuth(t *testing.T) {
	engine := dockertest.Require(t)
	image := engine.ToolImage(t, "oauth2-proxy")
	built := func(compose string) string {
		return strings.Replace(compose, "image: quay.io/oauth2-proxy/oauth2-proxy:v7.6.0", "image: "+image, 1)
	}
	run(t, "forward-auth", built, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		c.Jar, _ = cookiejar.New(nil)
		page := fmt.Sprintf("https://whoami.%s:%d/private", e.suffix, e.https)
		signIn := strings.Replace(page, "/private", "/oauth2/sign_in", 1)
		eventually(t, func() error {
			_, err := body(c.Get(signIn))
			return err
		})
		ask := func(accept string) (*http.Response, string) {
			req, err := http.NewRequest(http.MethodGet, page, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", accept)
			req.Header.Set("X-Auth-Request-User", "root")
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := body(resp, nil)
			return resp, text
		}
		if resp, text := ask("application/json"); resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("a stranger gets %s: %s", resp.Status, text)
		}
		resp, text := ask("text/html")
		if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusFound || to != "/oauth2/sign_in?rd="+url.QueryEscape(page) {
			t.Fatalf("a stranger's browser gets %s to %q: %s", resp.Status, to, text)
		}
		resp, err := c.PostForm(signIn, url.Values{"username": {"alice"}, "password": {"wonderland"}, "rd": {page}})
		if err != nil {
			t.Fatal(err)
		}
		text, _ = body(resp, nil)
		if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusFound || to != page {
			t.Fatalf("after signing in: %s to %q: %s", resp.Status, to, text)
		}
		eventually(t, func() error { // whoami has to pass its health check
			resp, text := ask("application/json")
			var f struct{ Headers map[string]string }
			if _ = json.Unmarshal([]byte(text), &f); f.Headers["X-Auth-Request-User"] != "alice" {
				return fmt.Errorf("whoami, after signing in: %s: %s", resp.Status, text)
			}
			return nil
		})
	})
}

// Without a registry, a stand-in takes the place of the proxy image: what is
// shown is that Portway needs no more than the proxy is told to let through, and
// that it runs with all the hardening of the example.
func TestSocketProxy(t *testing.T) {
	engine := dockertest.Require(t)
	image := engine.Image(t, "portway/internal/exampletest/socketproxy")
	standIn := func(compose string) string {
		return strings.Replace(compose, "image: tecnativa/docker-socket-proxy", "image: "+image, 1)
	}
	run(t, "socket-proxy", standIn, func(t *testing.T, e *example) {
		c := e.client(t, nil)
		e.reaches(t, c, "whoami."+e.suffix, "/")
		healthy(t, e.mustRun(t, "ps", "-q", "portway"))
		// An event reaches Portway through the proxy, too.
		e.mustRun(t, "up", "-d", "--scale", "whoami=2")
		names := map[string]bool{}
		eventually(t, func() error {
			names[e.reaches(t, c, "whoami."+e.suffix, "/").Name] = true
			if len(names) < 2 {
				return errors.New("only one replica answers")
			}
			return nil
		})
		if log := e.output("logs", "--no-color"); strings.Contains(log, "REFUSED") {
			t.Errorf("Portway asks for more than the example allows:\n%s", log)
		}
	})
}
