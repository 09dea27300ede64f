package dockertest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"portway/internal/need"
)

// startLimit bounds how long an engine takes to start or stop.
const startLimit = 40 * time.Second

// Daemon is a Docker engine of the test's own, beside the machine's: it has
// its own data, socket, containerd and network namespace, so that it can be
// stopped, killed and frozen at will. Its containers cannot be reached over the
// network from outside.
type Daemon struct {
	*Engine
	dir  string
	proc *os.Process
	gone chan struct{} // closed when proc is
	lost bool          // killed, so that its containers may still run
}

// StartDaemon starts such an engine, which ends with the test. It needs root
// and the dockerd program; see Require for what happens without.
func StartDaemon(tb testing.TB) *Daemon {
	tb.Helper()
	if _, err := exec.LookPath("dockerd"); err != nil {
		need.Missing(tb, "%s needs dockerd: %v", tb.Name(), err)
	}
	if os.Geteuid() != 0 {
		need.Missing(tb, "%s needs a second dockerd, which only root can start", tb.Name())
	}
	// Short: the path of a socket has 107 bytes at most.
	dir, err := os.MkdirTemp("", "pwt")
	if err != nil {
		tb.Fatal(err)
	}
	d := &Daemon{dir: dir}
	tb.Cleanup(func() { d.remove(tb) })
	d.Start(tb)
	return d
}

func (d *Daemon) socket() string { return filepath.Join(d.dir, "docker.sock") }

func (d *Daemon) logFile() string { return filepath.Join(d.dir, "log") }

// Start starts the engine (again) and waits until it answers.
func (d *Daemon) Start(tb testing.TB) {
	tb.Helper()
	_ = os.Remove(filepath.Join(d.dir, "pid")) // of an engine that was killed
	// The machine's own settings would clash with the flags.
	if err := os.WriteFile(filepath.Join(d.dir, "daemon.json"), []byte("{}"), 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command("dockerd", "--config-file="+filepath.Join(d.dir, "daemon.json"),
		"--host=unix://"+d.socket(), "--data-root="+filepath.Join(d.dir, "data"), "--exec-root="+filepath.Join(d.dir, "exec"),
		"--pidfile="+filepath.Join(d.dir, "pid"), "--storage-driver=vfs",
		"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--shutdown-timeout=5")
	if err := d.run(cmd); err != nil {
		tb.Fatal(err)
	}
	deadline := time.Now().Add(startLimit)
	for {
		e, err := connect(tb.Context(), client.WithHost("unix://"+d.socket()))
		if err == nil {
			if d.Engine == nil {
				d.Engine = e
			} else {
				_ = e.Close()
			}
			return
		}
		select {
		case <-d.gone:
			tb.Fatalf("dockerd ended\n%s", d.tail())
		case <-time.After(50 * time.Millisecond): // nothing tells when a socket starts to answer
		}
		if time.Now().After(deadline) {
			tb.Fatalf("dockerd does not answer: %v\n%s", err, d.tail())
		}
	}
}

// run starts cmd on a thread that lives as long: the engine shall end with the
// test even if that is killed, and Pdeathsig is about the thread.
func (d *Daemon) run(cmd *exec.Cmd) error {
	log, err := os.OpenFile(d.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	// A network namespace of its own: an engine manages the bridge docker0 and the
	// firewall, and with --bridge=none it even deletes the other engine's bridge.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Cloneflags: syscall.CLONE_NEWNET}
	started, gone := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(gone)
		defer func() { _ = log.Close() }()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	d.proc, d.gone, d.lost = cmd.Process, gone, false
	return nil
}

// Stop ends the engine in good order; its containers stop too.
func (d *Daemon) Stop(tb testing.TB) {
	tb.Helper()
	d.end(tb, syscall.SIGTERM)
}

// Kill ends the engine at once. Its containers go on without it.
func (d *Daemon) Kill(tb testing.TB) {
	tb.Helper()
	d.end(tb, syscall.SIGKILL)
	d.lost = true
	d.endContainerd()
}

// Freeze makes the engine hang: connections open, nothing is answered.
func (d *Daemon) Freeze(tb testing.TB) {
	tb.Helper()
	d.signal(tb, syscall.SIGSTOP)
	// Threads stop one after the other, and one that runs on still answers.
	for deadline := time.Now().Add(startLimit); !stopped(d.proc.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatal("dockerd does not stop")
		}
	}
}

// stopped tells whether all threads of a process are.
func stopped(pid int) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // ended
		}
		// "PID (name) S ...", and the name may have anything in it
		if i := strings.LastIndex(string(text), ") "); i < 0 || !strings.HasPrefix(string(text[i+2:]), "T") {
			return false
		}
	}
	return len(files) > 0
}

// Thaw ends what Freeze began.
func (d *Daemon) Thaw(tb testing.TB) {
	tb.Helper()
	d.signal(tb, syscall.SIGCONT)
}

func (d *Daemon) signal(tb testing.TB, s os.Signal) {
	tb.Helper()
	if err := d.proc.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Fatalf("dockerd: %v", err)
	}
}

func (d *Daemon) end(tb testing.TB, s os.Signal) {
	tb.Helper()
	d.signal(tb, s)
	select {
	case <-d.gone:
	case <-time.After(startLimit):
		_ = d.proc.Kill()
		tb.Errorf("dockerd had to be killed\n%s", d.tail())
		<-d.gone
	}
	d.proc = nil
}

func (d *Daemon) remove(tb testing.TB) {
	if d.lost {
		d.Start(tb) // only an engine ends containers in good order
	}
	if d.proc != nil {
		_ = d.proc.Signal(syscall.SIGCONT)
		d.end(tb, syscall.SIGTERM)
	}
	if d.Engine != nil {
		_ = d.Close()
	}
	d.endContainerd()
	d.unmount()
	if err := os.RemoveAll(d.dir); err != nil {
		tb.Errorf("data of dockerd: %v", err)
	}
}

// endContainerd ends the containerd that a killed engine leaves behind, and
// what the next engine would take for a running one.
func (d *Daemon) endContainerd() {
	file := filepath.Join(d.dir, "exec", "containerd", "containerd.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = os.Remove(file)
}

// unmount ends the mounts that a killed engine leaves behind.
func (d *Daemon) unmount() {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir+"/") {
			_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
		}
	}
}

// tail returns the end of the engine's log.
func (d *Daemon) tail() string {
	f, err := os.Open(d.logFile())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	_, _ = f.Seek(-4096, io.SeekEnd)
	text, _ := io.ReadAll(f)
	return string(text)
}

// Unreachable returns the address of a socket that nothing listens on.
func Unreachable(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	return "unix://" + path
}
