package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Socket is an open socket to hand over.
type Socket struct {
	Name string
	Conn syscall.Conn
}

// Command is how to start a successor.
type Command struct {
	Path    string   // the program
	Args    []string // without the program's name
	Environ []string
	Sockets []Socket
}

// Successor is a process that has begun to serve our sockets.
type Successor struct {
	PID     int
	release *os.File
}

// Start starts a successor and waits until it is ready. If ctx ends first, or the
// successor ends, nothing is left of it, and the error says why.
func Start(ctx context.Context, c Command) (*Successor, error) {
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = readyR.Close() }()
	releaseR, releaseW, err := os.Pipe()
	if err != nil {
		_ = readyW.Close()
		return nil, err
	}
	sockets := append(c.Sockets[:len(c.Sockets):len(c.Sockets)], Socket{readyPipe, readyW}, Socket{releasePipe, releaseR})
	pid, err := fork(c, sockets)
	_ = readyW.Close()
	_ = releaseR.Close()
	if err != nil {
		_ = releaseW.Close()
		return nil, fmt.Errorf("cannot start %s: %w", c.Path, err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		_ = releaseW.Close()
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		state, err := process.Wait()
		if err == nil {
			err = fmt.Errorf("it ended: %v", state)
		}
		ended <- err
	}()
	ready := make(chan error, 1)
	go func() {
		_, err := readyR.Read(make([]byte, 1)) // its end comes when the process ends
		ready <- err
	}()
	select {
	case err = <-ready:
		if err == nil {
			return &Successor{pid, releaseW}, nil
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = process.Kill() // it may have ended
	if why := <-ended; ctx.Err() == nil {
		err = why
	}
	_ = releaseW.Close()
	return nil, fmt.Errorf("process %d was not ready: %w", pid, err)
}

// Release tells the successor that UDP sockets are its alone now. The end of this
// process does so too.
func (s *Successor) Release() { _ = s.release.Close() }

// fork starts a process with sockets as its file descriptors from firstFD on.
// os/exec would do it too, but makes them blocking, and with them ours.
func fork(c Command, sockets []Socket) (pid int, err error) {
	files := []uintptr{0, 1, 2}
	names := make([]string, 0, len(sockets))
	for _, s := range sockets {
		raw, err := s.Conn.SyscallConn()
		if err != nil {
			return 0, err
		}
		var fd uintptr
		if err := raw.Control(func(n uintptr) { fd = n }); err != nil {
			return 0, err
		}
		files, names = append(files, fd), append(names, s.Name)
	}
	return syscall.ForkExec(c.Path, append([]string{c.Path}, c.Args...), &syscall.ProcAttr{
		Env:   append(without(c.Environ), HandoverEnv+"="+strings.Join(names, ":")),
		Files: files,
	})
}

// without leaves out what an earlier start said about inherited sockets.
func without(environ []string) []string {
	var kept []string
	for _, e := range environ {
		if name, _, _ := strings.Cut(e, "="); name != HandoverEnv && !strings.HasPrefix(name, "LISTEN_") {
			kept = append(kept, e)
		}
	}
	return kept
}

// ErrContainer is why the first process of a container cannot be succeeded: the
// container ends with it.
var ErrContainer = errors.New("the first process of a container cannot hand over; replace the container instead")
