package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"portway/internal/freeport"
)

// processes runs the demo without an engine.
type processes struct{}

var _ stage = processes{}

// process is one that the demo started; Program tells it apart from another
// one that got its ID later.
type process struct {
	PID     int
	Program string
}

func (processes) start(st *state) error {
	if err := (processes{}).stop(st); err != nil {
		return err
	}
	if err := show("make", "--no-print-directory", "binaries"); err != nil {
		return err
	}
	origin, err := freeport.On("127.0.0.1")
	if err != nil {
		return err
	}
	routes := filepath.Join(stateDir, "routes")
	if err := os.MkdirAll(routes, 0o755); err != nil {
		return err
	}
	file := fmt.Sprintf(staticRoute, host, origin)
	if err := os.WriteFile(filepath.Join(routes, "whoami.yaml"), []byte(file), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"whoami", "-listen", origin},
		{
			"portway", "run", "--docker=off", "--control=off", "--user=", "--routes=" + routes, "--storage=" + filepath.Join(stateDir, "data"),
			"--http=:" + strconv.Itoa(st.HTTP), "--https=:" + strconv.Itoa(st.HTTPS),
		},
	} {
		p, err := launch(args[0], args[1:])
		if err != nil {
			return err
		}
		st.PIDs = append(st.PIDs, p)
	}
	return nil
}

// launch starts a program of dist/ that outlives this one.
func launch(name string, args []string) (process, error) {
	program, err := filepath.Abs(filepath.Join("dist", arch, name))
	if err != nil {
		return process{}, err
	}
	log, err := os.Create(logFile(name))
	if err != nil {
		return process{}, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PORTWAY_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	return process{cmd.Process.Pid, program}, nil
}

func logFile(name string) string { return filepath.Join(stateDir, name+".log") }

func (processes) logs() {
	for _, name := range []string{"whoami", "portway"} {
		text, _ := os.ReadFile(logFile(name)) // without it, there is nothing to show
		fmt.Printf("--- %s\n%s", logFile(name), text)
	}
}

func (processes) stop(st *state) error {
	var errs []error
	for _, p := range st.PIDs {
		// Not a process that got the ID after ours ended. A rebuilt program shows as deleted.
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID))
		if err != nil || strings.TrimSuffix(exe, " (deleted)") != p.Program {
			continue
		}
		errs = append(errs, syscall.Kill(p.PID, syscall.SIGTERM))
		for i := 0; i < 100 && !ended(p.PID); i++ {
			time.Sleep(100 * time.Millisecond)
		}
	}
	st.PIDs = nil
	return errors.Join(errs...)
}

// ended tells whether a process is gone; a child of this one must be waited for.
func ended(pid int) bool {
	_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	return syscall.Kill(pid, 0) != nil
}
