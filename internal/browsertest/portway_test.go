package browsertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"portway/internal/dockertest"
	"portway/internal/freeport"
)

// built is the folder of what program built.
var built string

// program builds Portway once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "portway-browsertest") // TestMain removes it
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "portway")
	built = dir
	if out, err := exec.Command("go", "build", "-o", path, "portway/cmd/portway").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build portway: %w: %s", err, out)
	}
	return path, nil
})

// portway is a running Portway with a dashboard.
type portway struct {
	t         *testing.T
	path      string
	control   string
	https     string // host and port of sites: NAME.localhost at that port
	dashboard string // its address, such as http://127.0.0.1:1234
	password  string // that the log told
	mine      string // label of the containers that it sees
}

// start runs Portway until the test ends. It sees containers that have the label mine,
// if there is an engine, and the static routes of files (name → content).
func start(t *testing.T, engine *dockertest.Engine, files map[string]string, more ...string) *portway {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	routes := filepath.Join(dir, "routes")
	if err := os.Mkdir(routes, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(routes, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &portway{t: t, path: path, control: filepath.Join(dir, "control.sock"), mine: dockertest.Name("mine")}
	docker := "off"
	if engine != nil {
		docker = engine.Host
	}
	p.https = freeport.Local(t)
	cmd := exec.Command(path, append([]string{
		"run", "--http=" + freeport.Local(t), "--https=" + p.https, "--dashboard=127.0.0.1:0", "--control=" + p.control,
		"--docker=" + docker, "--constraint=" + p.mine, "--routes=" + routes, "--storage=" + filepath.Join(dir, "data"), "--log-format=json",
	}, more...)...)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(said); s.Scan(); {
			fmt.Fprintln(&log, s.Text())
			var line struct{ Msg, Password, Address string }
			_ = json.Unmarshal(s.Bytes(), &line) // others may write there
			if line.Password != "" {
				p.password = line.Password
			}
			if line.Msg == "the dashboard is served" {
				p.dashboard = line.Address
				close(ready)
			}
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
			t.Error("Portway does not end by SIGTERM")
		}
		if t.Failed() {
			t.Logf("Portway's log:\n%s", &log)
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatalf("Portway ended:\n%s", &log)
	case <-time.After(patience):
		t.Fatal("Portway does not serve the dashboard")
	}
	_, port, _ := net.SplitHostPort(p.https)
	p.https = "localhost:" + port
	return p
}

// host is the dashboard's host and port.
func (p *portway) host() string { return strings.TrimPrefix(p.dashboard, "http://") }

// site is the address of a site by HTTPS.
func (p *portway) site(name string) string { return "https://" + name + "." + p.https }

// link asks the command for a link that signs in.
func (p *portway) link() string {
	p.t.Helper()
	out, err := exec.Command(p.path, "--control="+p.control, "dashboard").CombinedOutput()
	if err != nil {
		p.t.Fatalf("portway dashboard: %v: %s", err, out)
	}
	found := regexp.MustCompile(`http\S+`).FindString(string(out))
	if found == "" {
		p.t.Fatalf("portway dashboard prints no link: %s", out)
	}
	return found
}

// signedIn is a page whose user has signed in, and which may ask hosts too.
func (p *portway) signedIn(hosts ...string) *page {
	p.t.Helper()
	b := open(p.t, append(hosts, p.host())...)
	b.goTo(p.link())
	b.press("Sign in")
	b.waits("location.pathname == '/'")
	return b
}
