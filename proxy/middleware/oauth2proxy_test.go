package middleware_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"portway/internal/need"
	"portway/route"
)

// oauth2Proxy starts the real one, with a user alice, and gives its address. It fails
// where tests are required, and skips where it is not there.
func oauth2Proxy(t *testing.T, args ...string) (address string, stop func()) {
	t.Helper()
	tool, err := exec.LookPath("oauth2-proxy")
	if err != nil {
		tool, _ = filepath.Abs("../../.cache/bin/oauth2-proxy")
		_, err = os.Stat(tool)
	}
	if err != nil {
		need.Missing(t, "oauth2-proxy is not here, so that forward authentication was not tried with it; get it by: scripts/tool oauth2-proxy")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("wonderland"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, fmt.Appendf(nil, "alice:%s\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	_ = l.Close()
	var out bytes.Buffer
	cmd := exec.Command(tool, append([]string{
		"--http-address=" + address, "--reverse-proxy", "--htpasswd-file=" + users,
		"--provider=github", "--client-id=none", "--client-secret=none", "--email-domain=*",
		"--cookie-secret=0123456789abcdef0123456789abcdef", "--cookie-secure=false",
	}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("oauth2-proxy said:\n%s", out.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + address + "/ping")
		if err == nil {
			_ = resp.Body.Close()
			return address, stop
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("oauth2-proxy does not come up: %v\n%s", err, out.String())
		}
	}
}

// visitor is a browser, as far as signing in needs one.
type visitor struct {
	t      *testing.T
	client *http.Client
}

func (w *wire) visitor(t *testing.T) *visitor {
	c := w.client(t)
	c.Jar, _ = cookiejar.New(nil)
	return &visitor{t, c}
}

func (v *visitor) do(method, address, accept string, form url.Values) (*http.Response, string) {
	v.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("X-Auth-Request-User", "root") // nobody believes it
	req.Header.Set("X_auth_request_email", "root@example.com")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp, string(text)
}

const browser = "text/html,application/xhtml+xml,*/*;q=0.8"

// A visitor signs in at a real oauth2-proxy, in both of the ways in which it is put
// behind a proxy: its answer 401 becomes a redirect to where one can sign in, or it
// shows its page itself.
func TestOAuth2Proxy(t *testing.T) {
	t.Parallel()
	address, stop := oauth2Proxy(t, "--whitelist-domain=app.example.com", "--set-xauthrequest", "--upstream=static://202")
	for name, labels := range map[string]map[string]string{
		"with a redirect": {
			"portway.forward-auth":         "http://" + address + "/oauth2/auth",
			"portway.forward-auth.sign-in": "/oauth2/sign_in?rd={url}",
		},
		"with its own page": {"portway.forward-auth": "http://" + address + "/"},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWire(t)
			w.answer = "200\nContent-Type: text/plain\n\nthe secret"
			labels["portway.host"] = "app.example.com"
			labels["portway.forward-auth.response-headers"] = "X-Auth-Request-*"
			w.server.SetTable(route.NewTable([]*route.Route{
				w.route(t, labels, w.origin.Listener.Addr().String()),
				w.route(t, map[string]string{"portway.host": "app.example.com", "portway.path": "/oauth2"}, address),
			}, nil))
			v := w.visitor(t)
			const page = "http://app.example.com/secret?x=1&y=/2"
			resp, text := v.do("GET", page, browser, nil)
			if labels["portway.forward-auth.sign-in"] != "" {
				want := "/oauth2/sign_in?rd=" + url.QueryEscape(page)
				if resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != want {
					t.Fatalf("a stranger gets %s to %q, want 302 to %s", resp.Status, resp.Header.Get("Location"), want)
				}
				if resp, text := v.do("GET", page, "application/json", nil); resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("a stranger's program gets %s: %s", resp.Status, text)
				}
				resp, text = v.do("GET", "http://app.example.com"+want, browser, nil)
			}
			if !strings.Contains(text, `action="/oauth2/sign_in"`) || !strings.Contains(text, "secret?x=1&amp;y=/2") && !strings.Contains(text, "secret?x=1&amp;y=%2f2") {
				t.Fatalf("the page to sign in is %s:\n%s", resp.Status, text)
			}
			if resp, _ := v.do("POST", "http://app.example.com/oauth2/sign_in", browser, url.Values{"username": {"alice"}, "password": {"guess"}, "rd": {page}}); resp.StatusCode == http.StatusFound {
				t.Fatal("signed in with a wrong password")
			}
			if w.forwarded != "" {
				t.Fatalf("a stranger's request came to the application:\n%s", w.forwarded)
			}
			resp, text = v.do("POST", "http://app.example.com/oauth2/sign_in", browser, url.Values{"username": {"alice"}, "password": {"wonderland"}, "rd": {page}})
			if resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != page {
				t.Fatalf("after signing in: %s to %q\n%s", resp.Status, resp.Header.Get("Location"), text)
			}
			resp, text = v.do("POST", page, browser, url.Values{"a": {"b"}})
			if resp.StatusCode != http.StatusOK || text != "the secret" {
				t.Fatalf("alice gets %s: %s", resp.Status, text)
			}
			got := strings.ToLower(w.forwarded)
			if !strings.Contains(got, "> x-auth-request-user: alice\n") || strings.Contains(got, "root") || !strings.Contains(got, "> post /secret?x=1&y=/2\n") || !strings.Contains(got, "> | a=b\n") {
				t.Errorf("the application gets:\n%s", w.forwarded)
			}
			if resp, text := w.visitor(t).do("GET", page, "application/json", nil); resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
				t.Errorf("somebody else gets %s: %s", resp.Status, text)
			}
			v.do("GET", "http://app.example.com/oauth2/sign_out", browser, nil)
			if resp, text := v.do("GET", page, "application/json", nil); resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
				t.Errorf("after signing out, alice gets %s: %s", resp.Status, text)
			}
		})
	}

	// Nobody gets in when it is gone, not even who was in before, and the log says why.
	w := startWire(t)
	w.serve(t, map[string]string{"portway.forward-auth": "http://" + address + "/oauth2/auth"}, "", "app.example.com")
	stop()
	resp, text := w.visitor(t).do("GET", "http://app.example.com/", "*/*", nil)
	log := w.logged()
	if resp.StatusCode != http.StatusBadGateway || strings.Contains(text, address) || w.forwarded != "" {
		t.Errorf("without the service: %s\n%s", resp.Status, text)
	}
	if !strings.Contains(log, "forward-auth: asking "+address) || !strings.Contains(log, "connection refused") || !strings.Contains(log, resp.Header.Get("X-Request-Id")) {
		t.Errorf("the log says:\n%s", log)
	}
}
