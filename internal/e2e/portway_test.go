package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"portway/admin"
	"portway/internal/dockertest"
	"portway/internal/freeport"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(grpcCaseEnv); name != "" {
		if err := runGRPCCase(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dockertest.Main(m)
}

// binary builds Portway once for all tests, as the image has it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "portway-e2e")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "portway")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "portway/cmd/portway")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build portway: %w: %s", err, out)
	}
	return path, nil
})

// portway is a running Portway process.
type portway struct {
	cmd         *exec.Cmd
	http, https string // addresses
	control     string
	storage     string
	log         *journal
	ended       chan struct{}
}

// start runs Portway until the test ends, on free loopback ports, with storage
// of its own unless args name one. The engine is off unless args name one.
func start(t *testing.T, args ...string) *portway {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &portway{http: freeport.Local(t), https: freeport.Local(t), log: newJournal(), ended: make(chan struct{})}
	dir := t.TempDir()
	p.control, p.storage = filepath.Join(dir, "control.sock"), filepath.Join(dir, "data")
	all := []string{"run", "--http=" + p.http, "--https=" + p.https, "--control=" + p.control, "--log-format=json"}
	given := strings.Join(args, " ")
	if !strings.Contains(given, "--storage=") {
		all = append(all, "--storage="+p.storage)
	}
	if !strings.Contains(given, "--docker=") {
		all = append(all, "--docker=off")
	}
	p.cmd = exec.Command(bin, append(all, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.WaitDelay = 5 * time.Second // a successor writes there too
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("Portway's log:\n%s", p.log)
		}
	})
	return p
}

func (p *portway) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Error("Portway did not end within 20 s of SIGTERM")
	}
}

// status asks over the control socket.
func (p *portway) status() (admin.Status, error) {
	var st admin.Status
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", p.control)
		},
	}}
	resp, err := client.Get("http://portway/v1/status")
	if err != nil {
		return st, err
	}
	defer func() { _ = resp.Body.Close() }()
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// problem waits for a Problem with all of words in it and returns it.
func (p *portway) problem(t *testing.T, words ...string) admin.Problem {
	t.Helper()
	var found admin.Problem
	eventually(t, 10*time.Second, func() error {
		st, err := p.status()
		if err != nil {
			return err
		}
		for _, pr := range st.Problems {
			text := fmt.Sprint(pr)
			if containsAll(text, words...) {
				found = pr
				return nil
			}
		}
		return fmt.Errorf("no problem with %q among %+v", words, st.Problems)
	})
	return found
}

// certificate waits until the name's certificate is in a state.
func (p *portway) certificate(t *testing.T, name, state string) admin.Certificate {
	t.Helper()
	var found admin.Certificate
	eventually(t, 20*time.Second, func() error {
		st, err := p.status()
		if err != nil {
			return err
		}
		for _, c := range st.Certificates {
			if c.Name == name && c.State == state {
				found = c
				return nil
			}
		}
		return fmt.Errorf("%s is not %s: %+v", name, state, st.Certificates)
	})
	return found
}

// client speaks to the addresses of Portway whatever the URL's host, and trusts
// roots, or if that is nil, Portway's internal CA.
func (p *portway) client(t *testing.T, roots *x509.CertPool) *http.Client {
	t.Helper()
	if roots == nil {
		roots = internalRoot(t, p.http)
	}
	return clientFor(p.http, p.https, roots)
}

func clientFor(httpAddr, httpsAddr string, roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				to := httpAddr
				if strings.HasSuffix(addr, ":443") {
					to = httpsAddr
				}
				return (&net.Dialer{}).DialContext(ctx, network, to)
			},
		},
	}
}

// internalRoot downloads the internal CA's root as a user would.
func internalRoot(t *testing.T, addr string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	eventually(t, 10*time.Second, func() error {
		resp, err := http.Get("http://" + addr + "/.well-known/portway/ca.crt")
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		pem, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if !pool.AppendCertsFromPEM(pem) {
			return fmt.Errorf("status %s is no certificate: %.200s", resp.Status, pem)
		}
		return nil
	})
	return pool
}

// get returns status and body.
func get(c *http.Client, url string) (int, string, error) {
	resp, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// waitStatus waits until url answers with a status and returns the body.
func waitStatus(t *testing.T, c *http.Client, url string, want int) string {
	t.Helper()
	var body string
	eventually(t, 20*time.Second, func() error {
		status, b, err := get(c, url)
		if err != nil {
			return err
		}
		if status != want {
			return fmt.Errorf("%s: status %d instead of %d: %.300s", url, status, want, b)
		}
		body = b
		return nil
	})
	return body
}

// eventually tries f until it succeeds: what is awaited happens in another
// process, which tells nobody.
func eventually(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", limit, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func containsAll(text string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
			return false
		}
	}
	return true
}

// journal is a process's output, kept and searched.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func newJournal() *journal { return &journal{} }

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// line waits for a line with all of words in it.
func (j *journal) line(t *testing.T, words ...string) string {
	t.Helper()
	var found string
	eventually(t, 15*time.Second, func() error {
		for line := range strings.Lines(j.String()) {
			if containsAll(line, words...) {
				found = line
				return nil
			}
		}
		return fmt.Errorf("the log has no line with %q", words)
	})
	return found
}

// writeFile puts a file in place at once, as an editor does.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	tmp := path + ".tmp"
	if err := errors.Join(os.WriteFile(tmp, []byte(content), 0o644), os.Rename(tmp, path)); err != nil {
		t.Fatal(err)
	}
}

// origin serves text on loopback until the test ends and returns its URL.
func origin(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}
