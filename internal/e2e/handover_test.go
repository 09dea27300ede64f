package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"portway/internal/freeport"
)

// oneSite writes a static route for site.localhost and returns the flag for it.
func oneSite(t *testing.T, origin string) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "site.yaml"), fmt.Sprintf("site:\n  host: site.localhost\n  to: %s\n", origin))
	return "--routes=" + dir
}

// client3 speaks HTTP/3 to Portway.
func (p *portway) client3(t *testing.T, roots *x509.CertPool) *http.Client {
	t.Helper()
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		Dial: func(ctx context.Context, _ string, cfg *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, p.https, cfg, qc)
		},
	}
	t.Cleanup(func() { _ = transport.Close() })
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// load asks again and again until it is told to stop.
type load struct {
	name         string
	client       func() *http.Client
	rewind       bool
	sent, failed atomic.Int64
	mu           sync.Mutex
	first        error
	longest      time.Duration
}

func (l *load) run(stop <-chan struct{}, url, want string) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		c := l.client()
		begun := time.Now()
		status, body, err := postOnce(c, url, l.rewind)
		took := time.Since(begun)
		if err == nil && (status != 200 || body != want) {
			err = fmt.Errorf("%d %.200q", status, body)
		}
		l.sent.Add(1)
		l.mu.Lock()
		l.longest = max(l.longest, took)
		if err != nil && l.failed.Add(1) == 1 {
			l.first = err
		}
		l.mu.Unlock()
	}
}

// postOnce posts in a way that net/http does not try again by itself, unless rewind
// lets it send the body once more: over HTTP/2, a request that crosses GOAWAY on its
// way was certainly not processed, and is the client's to repeat (RFC 9113 section
// 6.8).
func postOnce(c *http.Client, url string, rewind bool) (int, string, error) {
	var content io.Reader = strings.NewReader("something")
	if !rewind {
		content = io.MultiReader(content)
	}
	resp, err := c.Post(url, "text/plain", content)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// successors are the processes that the log says took over, one after the other.
func (p *portway) successors() (pids []int) {
	for line := range strings.Lines(p.log.String()) {
		var entry struct {
			Msg       string
			Successor int
		}
		if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Msg, "a successor serves") {
			pids = append(pids, entry.Successor)
		}
	}
	return pids
}

// successor waits for hand-over n, from 0.
func (p *portway) successor(t *testing.T, n int) (pid int) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		pids := p.successors()
		if len(pids) <= n {
			return fmt.Errorf("%d hand-overs", len(pids))
		}
		pid = pids[n]
		return nil
	})
	return pid
}

// endSuccessors sees to it that none outlives the test.
func (p *portway) endSuccessors(t *testing.T) {
	t.Cleanup(func() {
		for _, pid := range p.successors() {
			end(t, pid)
		}
	})
}

// end ends a process that is no child of ours.
func end(t *testing.T, pid int) {
	if syscall.Kill(pid, syscall.SIGTERM) != nil {
		return
	}
	for range 2000 {
		if gone(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("process %d did not end", pid)
}

// gone tells whether a process has ended, even if nobody has asked for its status.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// awaitEnd waits for the end of a process. That its output ends says nothing,
// since its successor has it too.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	eventually(t, 40*time.Second, func() error {
		if !gone(pid) {
			return fmt.Errorf("process %d has not ended", pid)
		}
		return nil
	})
}

// A new version takes over without a single request failing, over new
// connections and kept ones, twice in a row.
func TestHandover(t *testing.T) {
	t.Parallel()
	metrics := freeport.Local(t)
	p := start(t, oneSite(t, origin(t, "hello")), "--metrics="+metrics)
	p.endSuccessors(t)
	roots := internalRoot(t, p.http)
	waitStatus(t, p.client(t, roots), "https://site.localhost/", 200)

	fresh := func(h2 bool) func() *http.Client {
		return func() *http.Client {
			c := clientFor(p.http, p.https, roots)
			tr := c.Transport.(*http.Transport)
			tr.ForceAttemptHTTP2, tr.DisableKeepAlives = h2, true
			return c
		}
	}
	kept := func(h2 bool) func() *http.Client {
		c := clientFor(p.http, p.https, roots)
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = h2
		t.Cleanup(c.CloseIdleConnections)
		return func() *http.Client { return c }
	}
	loads := []*load{
		{name: "HTTP/1.1 kept", client: kept(false)},
		{name: "HTTP/1.1 new", client: fresh(false)},
		{name: "HTTP/2 kept", client: kept(true), rewind: true},
		{name: "HTTP/2 new", client: fresh(true)},
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	ended := sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
	defer ended()
	for _, l := range loads {
		for range 2 {
			wg.Go(func() { l.run(stop, "https://site.localhost/", "hello") })
		}
	}
	time.Sleep(300 * time.Millisecond) // of load as usual
	_ = p.cmd.Process.Signal(syscall.SIGUSR2)
	first := p.successor(t, 0)
	awaitEnd(t, p.cmd.Process.Pid)
	p.log.line(t, `"msg":"stopped"`) // and not an error
	_ = syscall.Kill(first, syscall.SIGUSR2)
	second := p.successor(t, 1)
	awaitEnd(t, first)
	time.Sleep(300 * time.Millisecond)
	ended()
	var sent, failed int64
	for _, l := range loads {
		sent, failed = sent+l.sent.Load(), failed+l.failed.Load()
		if n := l.failed.Load(); n > 0 {
			t.Errorf("%s: %d of %d requests failed, the first with: %v", l.name, n, l.sent.Load(), l.first)
		}
		t.Logf("%s: %d requests, the longest took %v", l.name, l.sent.Load(), l.longest.Round(time.Millisecond))
	}
	t.Logf("FIGURES hand-over under load, twice: %d POSTs over new and kept connections, %d failed", sent, failed)
	if _, err := p.status(); err != nil {
		t.Errorf("the control socket of process %d: %v", second, err)
	}
	resp, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatalf("the metrics of process %d: %v", second, err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the metrics of process %d: %s", second, resp.Status)
	}
}

// HTTP/3 has one reader at a time: connections of the old process are lost, new
// ones are served at once.
func TestHandoverHTTP3(t *testing.T) {
	t.Parallel()
	p := start(t, oneSite(t, origin(t, "hello")))
	p.endSuccessors(t)
	roots := internalRoot(t, p.http)
	waitStatus(t, p.client3(t, roots), "https://site.localhost/", 200)
	c := p.client3(t, roots)
	waitStatus(t, c, "https://site.localhost/", 200)
	_ = p.cmd.Process.Signal(syscall.SIGUSR2)
	p.successor(t, 0)
	begun := time.Now()
	waitStatus(t, c, "https://site.localhost/", 200)
	t.Logf("FIGURES hand-over of HTTP/3: served again after %v", time.Since(begun).Round(time.Millisecond))
	awaitEnd(t, p.cmd.Process.Pid)
	waitStatus(t, c, "https://site.localhost/", 200)
}

// A successor that does not get to serve changes nothing, and the log says why.
func TestHandoverFails(t *testing.T) {
	t.Parallel()
	settings := filepath.Join(t.TempDir(), "portway.yaml")
	writeFile(t, settings, "log-level: info\n")
	p := start(t, oneSite(t, origin(t, "hello")), "--config="+settings)
	c := p.client(t, nil)
	waitStatus(t, c, "https://site.localhost/", 200)
	writeFile(t, settings, "no-such-setting: 1\n")
	_ = p.cmd.Process.Signal(syscall.SIGUSR2)
	p.log.line(t, "no hand-over", "exit status 2")
	p.log.line(t, "no-such-setting") // said by the successor itself
	if status, body, err := get(c, "https://site.localhost/"); status != 200 || body != "hello" || err != nil {
		t.Errorf("got %d %q %v", status, body, err)
	}
	if _, err := p.status(); err != nil {
		t.Error(err)
	}
}

// systemd opens the sockets and is told what happens.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	notices, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = notices.Close() }()
	p := &portway{log: newJournal(), ended: make(chan struct{}), control: filepath.Join(dir, "control.sock")}
	var files []*os.File
	tcp := func() (*os.File, string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		f, _ := l.(*net.TCPListener).File()
		return f, l.Addr().String()
	}
	for _, at := range []*string{&p.http, &p.https} {
		f, address := tcp()
		files, *at = append(files, f), address
	}
	another, address := tcp()
	address3, _ := net.ResolveUDPAddr("udp", p.https)
	udp, err := net.ListenUDP("udp", address3)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := udp.File()
	_ = udp.Close()
	files = append(files, another, f)

	// LISTEN_PID is that of the process itself, which only the shell in between knows.
	p.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, bin, "run", "--http=127.0.0.1:1", "--https=127.0.0.1:1", "--docker=off",
		"--control="+p.control, "--storage="+filepath.Join(dir, "data"), "--log-format=json", oneSite(t, origin(t, "hello")))
	p.cmd.Env = append(os.Environ(), "LISTEN_FDS=4", "LISTEN_FDNAMES=http:https:http:https", "NOTIFY_SOCKET="+notices.LocalAddr().String())
	p.cmd.ExtraFiles = files
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = p.log, p.log, 5*time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		_ = f.Close()
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
	p.endSuccessors(t)
	heard := func(want string) {
		t.Helper()
		b := make([]byte, 4096)
		_ = notices.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := notices.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:n]), want) {
			t.Fatalf("the service manager heard %q %v, want %q", b[:n], err, want)
		}
	}
	heard("READY=1")
	roots := internalRoot(t, p.http)
	waitStatus(t, p.client(t, roots), "https://site.localhost/", 200)
	waitStatus(t, p.client3(t, roots), "https://site.localhost/", 200)
	waitStatus(t, clientFor(address, p.https, roots), "http://site.localhost/", http.StatusPermanentRedirect)
	_ = p.cmd.Process.Signal(syscall.SIGHUP)
	heard("RELOADING=1\nMONOTONIC_USEC=")
	heard("READY=1")
	_ = p.cmd.Process.Signal(syscall.SIGUSR2)
	heard("MAINPID=")
	successor := p.successor(t, 0)
	awaitEnd(t, p.cmd.Process.Pid)
	_ = syscall.Kill(successor, syscall.SIGTERM)
	heard("STOPPING=1")
}

// Sockets by names that mean nothing are not guessed at.
func TestSocketActivationNames(t *testing.T) {
	t.Parallel()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	f, _ := l.(*net.TCPListener).File()
	defer func() { _ = f.Close() }()
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, bin, "run", "--docker=off", "--storage="+t.TempDir(), "--control=off")
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=portway.socket")
	cmd.ExtraFiles = []*os.File{f}
	out, err := cmd.CombinedOutput()
	if err == nil || !containsAll(string(out), "portway.socket", "named http or https") {
		t.Errorf("%v %s", err, out)
	}
}
