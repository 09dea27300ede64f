// Package service is about the processes around this one: the service manager
// (systemd's protocols for sockets and notices), and a predecessor or successor that
// serves the same sockets, so that a new version takes over without a client
// noticing.
//
// Hand-over goes like this. The old process starts the new one with its sockets
// and two pipes. The new one begins to serve and says so on the first pipe (Ready).
// The old one stops to read its UDP sockets and closes the second pipe
// (Successor.Release), whereupon the new one reads them (Inheritance.Released); then it
// finishes its requests and ends. If the new one ends or is not ready in time, the
// old one goes on as if nothing had been.
package service

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// firstFD is where inherited sockets begin, in systemd's protocol and ours.
const firstFD = 3

// HandoverEnv is the variable by which a process tells its successor what the
// file descriptors are that it inherits.
const HandoverEnv = "PORTWAY_HANDOVER"

// Names of the pipes in HandoverEnv.
const (
	readyPipe   = "ready"
	releasePipe = "release"
)

// File is an inherited file with the name that was given to it.
type File struct {
	Name string
	*os.File
}

// Inheritance is what a process got at its start. The zero value is nothing.
type Inheritance struct {
	Sockets []File // open, in the order they came; the receiver closes them

	ready    *os.File // nil without a predecessor
	released chan struct{}
}

// Inherit reads what the environment says was inherited: from a predecessor, or
// by systemd's socket activation (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES). It is
// called once.
func Inherit(env map[string]string) (*Inheritance, error) {
	i := new(Inheritance)
	if list := env[HandoverEnv]; list != "" {
		i.take(strings.Split(list, ":"))
		return i, nil
	}
	if pid, err := strconv.Atoi(env["LISTEN_PID"]); err != nil || pid != os.Getpid() {
		return i, nil // meant for another process (sd_listen_fds(3))
	}
	n, err := strconv.Atoi(env["LISTEN_FDS"])
	if err != nil || n < 0 || n > 1000 {
		return nil, fmt.Errorf("LISTEN_FDS=%q is not a number of sockets", env["LISTEN_FDS"])
	}
	names := make([]string, n)
	copy(names, strings.Split(env["LISTEN_FDNAMES"], ":"))
	i.take(names)
	return i, nil
}

func (i *Inheritance) take(names []string) {
	for n, name := range names {
		fd := firstFD + n
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), name)
		switch name {
		case readyPipe:
			i.ready = f
		case releasePipe:
			i.released = make(chan struct{})
			go func() {
				// Nothing is ever written: it ends when the predecessor closes it, or ends.
				_, _ = f.Read(make([]byte, 1))
				_ = f.Close()
				close(i.released)
			}()
		default:
			i.Sockets = append(i.Sockets, File{name, f})
		}
	}
}

// Released is closed when a predecessor does not read UDP sockets any more; nil
// if there is none.
func (i *Inheritance) Released() <-chan struct{} { return i.released }

// Succeeds tells whether there is a predecessor that still serves.
func (i *Inheritance) Succeeds() bool { return i.ready != nil }

// Ready tells a predecessor that this process serves. It may be called more than
// once.
func (i *Inheritance) Ready() error {
	if i.ready == nil {
		return nil
	}
	_, err := i.ready.Write([]byte{1})
	err = errors.Join(err, i.ready.Close())
	i.ready = nil
	return err
}
