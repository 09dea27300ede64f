package exampletest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"portway/internal/dockertest"
	"portway/internal/freeport"
	"portway/internal/need"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// example is a copy of one of compose-examples/ that runs.
type example struct {
	compose     []string
	project     string
	folder      string
	suffix      string // takes the place of "localhost" in names
	env         []string
	http, https int
}

// composes finds Compose v2 and docker-compose 1.29. The old one is missing
// where distributions dropped it; then only CI insists on it.
func composes(t *testing.T) map[string][]string {
	t.Helper()
	root, err := dockertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, command := range [][]string{{"docker", "compose"}, {"docker-compose"}, {filepath.Join(root, ".cache/bin/docker-compose")}} {
		out, err := exec.Command(command[0], append(command[1:len(command):len(command)], "version")...).CombinedOutput()
		if err != nil {
			continue
		}
		if strings.Contains(string(out), "version 1.") {
			found["docker-compose 1"] = command
		} else {
			found["Compose v2"] = command
		}
	}
	for name, required := range map[string]bool{
		"Compose v2":       need.All(),
		"docker-compose 1": os.Getenv("CI") != "",
	} {
		if found[name] == nil && required {
			t.Errorf("%s is not here; make test gets it", name)
		} else if found[name] == nil {
			t.Run(name, func(t *testing.T) { t.Skipf("NOT RUN: %s is not here", name) })
		}
	}
	return found
}

// run runs check on an example with each version of compose. edit may change
// its compose file beforehand.
func run(t *testing.T, name string, edit func(compose string) string, check func(*testing.T, *example)) {
	t.Parallel()
	for version, command := range composes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			e := prepare(t, name, command, edit)
			e.up(t)
			check(t, e)
		})
	}
}

// prepare copies an example, with the images of this test in it and with names
// of its own: on one engine, each Portway sees the containers of all.
func prepare(t *testing.T, name string, compose []string, edit func(string) string) *example {
	t.Helper()
	portway, whoami := dockertest.Product(t)
	e := &example{compose: compose, project: dockertest.Name("example"), folder: t.TempDir(), http: freePort(t), https: freePort(t)}
	e.suffix = e.project + ".localhost"
	e.copy(t, name, func(text string) string {
		text = strings.NewReplacer(".localhost", "."+e.suffix, "image: portway-whoami\n", "image: "+whoami+"\n", "image: portway\n", "image: "+portway+"\n").Replace(text)
		if edit != nil {
			text = edit(text)
		}
		return text
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs of %s:\n%s", name, e.output("logs", "--no-color", "--tail=100"))
		}
		e.output("down", "--volumes", "--remove-orphans", "--timeout=2")
	})
	return e
}

// up starts the example as its README says.
func (e *example) up(t *testing.T) {
	t.Helper()
	e.mustRun(t, "up", "-d")
}

// copy puts a changed copy of the example into e.folder.
func (e *example) copy(t *testing.T, name string, edit func(string) string) {
	t.Helper()
	from := filepath.Join("../../compose-examples", name)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(e.folder, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, []byte(edit(string(text))), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(e.folder, 0o755); err != nil { // for the user in the container
		t.Fatal(err)
	}
}

func (e *example) command(args ...string) *exec.Cmd {
	all := append(append([]string{}, e.compose[1:]...), "-p", e.project)
	cmd := exec.Command(e.compose[0], append(all, args...)...)
	cmd.Dir = e.folder
	cmd.Env = append(os.Environ(), "HTTP_PORT="+strconv.Itoa(e.http), "HTTPS_PORT="+strconv.Itoa(e.https))
	cmd.Env = append(cmd.Env, e.env...)
	return cmd
}

func (e *example) output(args ...string) string {
	out, _ := e.command(args...).CombinedOutput() // what it says is all there is
	return string(out)
}

func (e *example) mustRun(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := e.command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// client speaks to the example's ports whatever the host, and trusts roots; if
// those are nil, the internal CA, fetched as the READMEs say.
func (e *example) client(t *testing.T, roots *x509.CertPool) *http.Client {
	t.Helper()
	if roots == nil {
		roots = x509.NewCertPool()
		eventually(t, func() error {
			pem, err := body(http.Get(fmt.Sprintf("http://localhost:%d/.well-known/portway/ca.crt", e.http)))
			if err == nil && !roots.AppendCertsFromPEM([]byte(pem)) {
				err = fmt.Errorf("no certificate: %.200s", pem)
			}
			return err
		})
	}
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, _ := net.SplitHostPort(addr)
				return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
			},
		},
	}
}

// facts is part of what whoami tells.
type facts struct{ Name, Listen, Scheme, Host, URL string }

// reaches waits until https://host/path is answered by whoami.
func (e *example) reaches(t *testing.T, c *http.Client, host, path string) (f facts) {
	t.Helper()
	eventually(t, func() error {
		req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://%s:%d%s", host, e.https, path), nil)
		if err != nil {
			return err
		}
		req.Header.Set("Accept", "application/json")
		text, err := body(c.Do(req))
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), &f)
	})
	return f
}

// redirects checks that plain HTTP leads to HTTPS at the published port.
func (e *example) redirects(t *testing.T, c *http.Client, host string) {
	t.Helper()
	resp, err := c.Get(fmt.Sprintf("http://%s:%d/x?y=1", host, e.http))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	want := fmt.Sprintf("https://%s:%d/x?y=1", host, e.https)
	if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusPermanentRedirect || got != want {
		t.Errorf("plain HTTP is answered %s to %q, want 308 to %s", resp.Status, got, want)
	}
}

func body(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", resp.Status, text)
	}
	return string(text), err
}

// eventually tries until it works: what is awaited happens in containers,
// which tell nobody.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	const limit = 2 * time.Minute
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", limit, err)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	address, err := freeport.On("") // Docker publishes at all addresses
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
