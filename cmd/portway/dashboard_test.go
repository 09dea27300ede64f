package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"portway/internal/freeport"
)

// visit is a browser that reaches host at the address of plain HTTP.
func (p *process) visit() *http.Client {
	jar, _ := cookiejar.New(nil) // never fails
	return &http.Client{
		Jar: jar, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "board.localhost:") {
				address = p.http
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}},
	}
}

func read(t *testing.T, resp *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// line waits for a line of the log with a text.
func (p *process) line(text string) string {
	p.t.Helper()
	for limit := time.After(patience); ; {
		select {
		case line := <-p.lines:
			if strings.Contains(line, text) {
				return line
			}
		case <-limit:
			p.t.Fatalf("no line with %q", text)
		}
	}
}

// The dashboard at a port and as a route: the log has the first password once, which the
// API does not give; the command prints a link for each way; both show the routes, the
// dashboard's own among them.
func TestDashboard(t *testing.T) {
	t.Parallel()
	address := freeport.Local(t)
	p := runProcess(t, "http://127.0.0.1:9", "--dashboard="+address, "--dashboard-host=board.localhost",
		"--dashboard-option=https=off", "--dashboard-option=ip.allow=127.0.0.0/8")
	var first struct{ Password string }
	if err := json.Unmarshal([]byte(p.line("the dashboard has this password")), &first); err != nil {
		t.Fatal(err)
	}
	if status, lines, err := ask(p.control, "/v1/logs?level=debug"); err != nil || status != 200 || strings.Contains(string(lines), first.Password) {
		t.Errorf("%d %v; the API tells the password", status, err)
	}
	out, status := p.command("dashboard")
	links := regexp.MustCompile(`http://\S+`).FindAllString(out, -1)
	if status != 0 || len(links) != 2 || !strings.HasPrefix(links[0], "http://board.localhost") || !strings.HasPrefix(links[1], "http://"+address+"/sign-in?token=") {
		t.Fatalf("%d %s", status, out)
	}
	for i, base := range []string{"http://board.localhost", "http://" + address} {
		c := p.visit()
		form := url.Values{"password": {first.Password}}
		if i == 0 {
			u, err := url.Parse(links[0])
			if err != nil {
				t.Fatal(err)
			}
			form = url.Values{"token": {u.Query().Get("token")}}
		}
		resp, err := c.PostForm(base+"/sign-in", form)
		if status, body := read(t, resp, err); status != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", base, status, body)
		}
		resp, err = c.Get(base + "/routes")
		status, body := read(t, resp, err)
		if status != 200 || !strings.Contains(body, `data-host="site.test"`) || !strings.Contains(body, `data-host="board.localhost"`) || !strings.Contains(body, "ip") {
			t.Errorf("%s: %d %s", base, status, body)
		}
	}
	out, status = p.command("explain", "http://board.localhost")
	if status != 0 || !strings.Contains(out, "setting dashboard-host") || !strings.Contains(out, "ip.allow=127.0.0.0/8") {
		t.Errorf("explain: %d %s", status, out)
	}
	if out, status := p.command("dashboard", "--new-password"); status != 0 || !strings.Contains(out, "The new password: ") || strings.Contains(out, first.Password) {
		t.Errorf("%d %s", status, out)
	}
	p.signal(syscall.SIGTERM)
	p.ends(0)
	if _, err := os.Stat(filepath.Join(filepath.Dir(p.control), "dashboard.sock")); err == nil {
		t.Error("the route's socket is left behind")
	}
}

// An open page must not keep Portway from ending: its stream has no end of its own.
func TestDashboardDoesNotHoldUp(t *testing.T) {
	t.Parallel()
	p := runProcess(t, "http://127.0.0.1:9", "--dashboard-host=board.localhost", "--dashboard-option=https=off", "--drain=10m")
	out, _ := p.command("dashboard")
	link, err := url.Parse(regexp.MustCompile(`http://\S+`).FindString(out))
	if err != nil {
		t.Fatal(err)
	}
	c := p.visit()
	resp, err := c.PostForm("http://board.localhost/sign-in", url.Values{"token": {link.Query().Get("token")}})
	if status, body := read(t, resp, err); status != http.StatusSeeOther {
		t.Fatalf("%d %s", status, body)
	}
	stream, err := c.Get("http://board.localhost/live")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	if n, err := stream.Body.Read(make([]byte, 6)); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	p.signal(syscall.SIGTERM)
	p.ends(0) // within patience, not 10 minutes
}

// Who has signed in stays so when Portway hands over to a successor, at a port and
// through the route.
func TestDashboardIsHandedOver(t *testing.T) {
	t.Parallel()
	address := freeport.Local(t)
	p := runProcess(t, "http://127.0.0.1:9", "--dashboard="+address, "--dashboard-host=board.localhost", "--dashboard-option=https=off")
	out, _ := p.command("dashboard")
	link, err := url.Parse(regexp.MustCompile(`http://\S+`).FindString(out))
	if err != nil {
		t.Fatal(err)
	}
	c := p.visit()
	resp, err := c.PostForm("http://board.localhost/sign-in", url.Values{"token": {link.Query().Get("token")}})
	if status, body := read(t, resp, err); status != http.StatusSeeOther {
		t.Fatalf("%d %s", status, body)
	}
	p.signal(syscall.SIGUSR2)
	var successor struct{ Successor int }
	if err := json.Unmarshal([]byte(p.line("a successor serves")), &successor); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(successor.Successor, syscall.SIGKILL) })
	p.line(`"stopped"`)
	c.CloseIdleConnections()
	resp, err = c.Get("http://board.localhost/history")
	if status, body := read(t, resp, err); status != 200 || !strings.Contains(body, `id="history"`) {
		t.Errorf("through the route: %d %s", status, body)
	}
	resp, err = c.Get("http://" + address + "/sign-in")
	if status, body := read(t, resp, err); status != 200 || !strings.Contains(body, `id="sign-in"`) {
		t.Errorf("at the port: %d %s", status, body)
	}
}

// Without the setting there is none, and the command says how to have one.
func TestNoDashboard(t *testing.T) {
	t.Parallel()
	p := runProcess(t, "http://127.0.0.1:9")
	if out, status := p.command("dashboard"); status != 1 || !strings.Contains(out, "has no dashboard") || !strings.Contains(out, "--dashboard=127.0.0.1:8420") {
		t.Errorf("%d %s", status, out)
	}
	for _, c := range []struct{ args, want string }{
		{"--dashboard-option=compress=true", "needs dashboard-host"},
		{"--dashboard-host=a.localhost --dashboard-option=to=http://127.0.0.1", "to cannot be chosen"},
		{"--dashboard=nowhere:80", "not an IP address"},
		{"--dashboard-host=a.localhost --dashboard-option=compres=true", "compres"},
		{"--dashboard-host=a_b!", "a_b!"},
	} {
		out, status := p.command(append([]string{"run"}, strings.Fields(c.args)...)...)
		if status != 2 || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d %s", c.args, status, out)
		}
	}
}

// A dashboard that cannot be is no reason to serve nothing.
func TestDashboardThatCannotBe(t *testing.T) {
	t.Parallel()
	storage := t.TempDir()
	if err := os.WriteFile(filepath.Join(storage, "dashboard"), nil, 0o600); err != nil { // a file, where a folder is to be
		t.Fatal(err)
	}
	p := runProcess(t, "http://127.0.0.1:9", "--storage="+storage, "--dashboard-host=board.localhost")
	p.log("there is no dashboard", "storage folder")
	// An error page, which would have a link to it for its owner.
	if status, body, err := p.get(t.Context(), "/"); err != nil || status != http.StatusBadGateway {
		t.Errorf("%d %v %s", status, err, body)
	}
	if out, status := p.command("dashboard"); status != 1 || !strings.Contains(out, "has no dashboard") || !strings.Contains(out, storage) {
		t.Errorf("%d %s", status, out)
	}
}
