package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"portway/certs/preflight"
	"portway/internal/freeport"
)

// patience bounds what another process takes to react.
const patience = time.Minute

// process is "portway run" as a process of its own, which is the test program
// under another name (see TestMain).
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	http    string // where plain HTTP is served
	control string
	lines   chan string
	ended   chan struct{}
}

// runProcess starts Portway with one static route for site.test to origin, and
// returns when it serves.
func runProcess(t *testing.T, origin string, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	routes := filepath.Join(dir, "routes")
	if err := os.Mkdir(routes, 0o755); err != nil {
		t.Fatal(err)
	}
	file := fmt.Sprintf("site:\n  host: site.test\n  https: off\n  to: %s\n", origin)
	if err := os.WriteFile(filepath.Join(routes, "site.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, http: freeport.Local(t), control: socketPath(t), lines: make(chan string, 1000), ended: make(chan struct{})}
	program, err := exec.LookPath("portway")
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(program, append([]string{
		"run", "--http=" + p.http, "--https=off", "--docker=off", "--routes=" + routes, "--storage=" + filepath.Join(dir, "data"),
		"--control=" + p.control, "--log-format=json",
	}, args...)...)
	output, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(output); s.Scan(); {
			p.lines <- s.Text()
		}
		_ = p.cmd.Wait() // its status is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // nothing tells another process
		err := health(p.control)
		if err == nil {
			return p
		}
		select {
		case <-p.ended:
			t.Fatalf("it ended: %s", strings.Join(p.said(), "\n"))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not serve: %v; it says\n%s", err, strings.Join(p.said(), "\n"))
		}
	}
}

// said is what it has logged that no test has read.
func (p *process) said() []string {
	var lines []string
	for {
		select {
		case line := <-p.lines:
			lines = append(lines, line)
		default:
			return lines
		}
	}
}

// log waits for a line with all of words in it.
func (p *process) log(words ...string) {
	p.t.Helper()
	limit := time.After(patience)
	var all []string
	for {
		select {
		case line := <-p.lines:
			all = append(all, line)
			found := true
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return
			}
		case <-limit:
			p.t.Fatalf("no line with %q in:\n%s", words, strings.Join(all, "\n"))
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the process to end with a status.
func (p *process) ends(status int) {
	p.t.Helper()
	select {
	case <-p.ended:
		if got := p.cmd.ProcessState.ExitCode(); got != status {
			p.t.Errorf("exit status %d, want %d", got, status)
		}
	case <-time.After(patience):
		p.t.Fatal("it does not end")
	}
}

func (p *process) get(ctx context.Context, path string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = "site.test"
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// slowOrigin answers a request when it is told to.
type slowOrigin struct {
	*httptest.Server
	arrived, answer chan struct{}
}

func newSlowOrigin(t *testing.T) *slowOrigin {
	t.Helper()
	o := &slowOrigin{arrived: make(chan struct{}), answer: make(chan struct{})}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.arrived <- struct{}{}
		select {
		case <-o.answer:
			fmt.Fprint(w, "done")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// request waits until the origin has one.
func (o *slowOrigin) request(t *testing.T) {
	t.Helper()
	select {
	case <-o.arrived:
	case <-time.After(patience):
		t.Fatal("no request arrives")
	}
}

// SIGTERM, which docker stop sends, must not fail a request in flight.
func TestSigtermFinishesRequests(t *testing.T) {
	t.Parallel()
	origin := newSlowOrigin(t)
	p := runProcess(t, origin.URL)
	var wg sync.WaitGroup
	wg.Go(func() {
		if status, body, err := p.get(t.Context(), "/"); err != nil || status != 200 || body != "done" {
			t.Errorf("the request in flight: %d %q %v", status, body, err)
		}
	})
	origin.request(t)
	p.signal(syscall.SIGTERM)
	p.log("stopping")
	if err := health(p.control); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("health check while draining: %v", err)
	}
	close(origin.answer)
	wg.Wait()
	p.ends(0)
	if _, err := os.Stat(p.control); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is left behind: %v", err)
	}
}

// Who presses Ctrl-C twice does not want to wait.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	origin := newSlowOrigin(t)
	p := runProcess(t, origin.URL)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _, _ = p.get(ctx, "/") }() // never answered
	origin.request(t)
	p.signal(syscall.SIGINT)
	p.log("stopping")
	p.signal(syscall.SIGINT)
	p.log("stopped at once")
	p.ends(1)
}

// A request that never ends must not keep Portway from ending.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	origin := newSlowOrigin(t)
	p := runProcess(t, origin.URL, "--drain=100ms")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _, _ = p.get(ctx, "/") }() // never answered
	origin.request(t)
	p.signal(syscall.SIGTERM)
	p.ends(1) // says that it cut something off
}

func TestSighupReloads(t *testing.T) {
	t.Parallel()
	settings := settingsFile(t, "log-level: info")
	p := runProcess(t, "http://127.0.0.1:9", "--config="+settings)
	if err := os.WriteFile(settings, []byte("log-level: debug\nemail: me@example.com\ntrusted-proxies: private"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.log("setting changed", `"setting":"trusted-proxies"`)
	p.log("this setting changes only at a restart", `"setting":"email"`)
	p.log("setting changed", `"setting":"log-level"`)
	p.log("settings reloaded")
	p.signal(syscall.SIGTERM)
	p.ends(0)
}

// The root is downloaded over plain HTTP, whatever the host: whoever needs it
// does not trust HTTPS yet.
func TestRootIsServed(t *testing.T) {
	t.Parallel()
	p := runProcess(t, "http://127.0.0.1:9")
	status, pem, err := p.get(t.Context(), caPath)
	if err != nil || status != 200 || !strings.HasPrefix(pem, "-----BEGIN CERTIFICATE-----") {
		t.Errorf("%d %v %.40q", status, err, pem)
	}
	for _, c := range []struct {
		path, mediaType string
		status          int
	}{
		{caPath, "application/x-x509-ca-cert", 200},
		{profilePath, "application/x-apple-aspen-config", 200},
		{caAnyPath, "text/plain; charset=utf-8", 404}, // there is no name for it
	} {
		resp, err := http.Get("http://" + p.http + c.path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != c.mediaType {
			t.Errorf("%s: %s %s", c.path, resp.Status, resp.Header.Get("Content-Type"))
		}
	}
	if err := health(p.control); err != nil {
		t.Errorf("health check: %v", err)
	}
}

// Portway knows itself by this answer when it looks whether a name leads here.
func TestReachIsAnswered(t *testing.T) {
	t.Parallel()
	secure, routes := freeport.Local(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(routes, "nas.yaml"), []byte("nas:\n  host: nas.lan\n  to: http://127.0.0.1:9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := runProcess(t, "http://127.0.0.1:9", "--https="+secure, "--routes="+routes)
	status, said, err := p.get(t.Context(), preflight.Path)
	if err != nil || status != 200 || !strings.HasPrefix(said, "portway ") {
		t.Errorf("%d %v %q", status, err, said)
	}
	token, _, err := preflight.New(nil).AskTLS(t.Context(), "nas.lan", secure)
	if err != nil || token != said {
		t.Errorf("over HTTPS: %q, %v, want %q", token, err, said)
	}
}
