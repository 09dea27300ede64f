package pebbletest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program of a test, which never outlives it.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed once it ended
}

// start runs program with env added to a bare environment; its output goes to
// log, or to a new one if that is nil.
func start(t testing.TB, program string, log *logBuffer, args []string, env ...string) *process {
	t.Helper()
	return startAs(t, program, log, exec.Command(binary(t, program), args...), env)
}

// startYielding is start at the lowest priority.
func startYielding(t testing.TB, program string, log *logBuffer, args []string, env ...string) *process {
	t.Helper()
	return startAs(t, program, log, exec.Command("nice", append([]string{"-n", "19", binary(t, program)}, args...)...), env)
}

func startAs(t testing.TB, program string, log *logBuffer, cmd *exec.Cmd, env []string) *process {
	t.Helper()
	if log == nil {
		log = new(logBuffer)
	}
	p := &process{name: program, log: log, done: make(chan struct{}), cmd: cmd}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // it ends by our kill; an earlier end is seen by await
	}()
	return p
}

// await returns when ready does so without error; else the program is ended.
func (p *process) await(ready func() error) error {
	deadline := time.After(20 * time.Second)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %v\n%s", p.name, p.cmd.ProcessState, p.log.tail(4<<10))
		case <-deadline:
			p.kill()
			return fmt.Errorf("%s is not ready: %w\n%s", p.name, err, p.log.tail(4<<10))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// retry calls up, which starts a program, again if it ended at once: another
// test may have taken its port just before.
func retry(t testing.TB, up func() error) {
	t.Helper()
	var err error
	for range 5 {
		if err = up(); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond) // nothing tells when a port is free again
	}
	t.Fatal(err)
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error means that it has ended
	<-p.done
}

// logBuffer keeps a program's output. It may be used from several goroutines.
type logBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *logBuffer) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Count(b.data.Bytes(), []byte(s))
}

func (b *logBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	data := b.data.Bytes()
	return string(data[max(0, len(data)-n):])
}
