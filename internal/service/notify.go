package service

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Notices to the service manager (sd_notify(3)).
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// Reloading is sent when settings are about to be read again, and is followed by
// Ready.
func Reloading() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this clock
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}

// MainPID tells which process the service consists of from now on.
func MainPID(pid int) string { return fmt.Sprintf("MAINPID=%d", pid) }

// Notify sends notices to the socket that NOTIFY_SOCKET names; it does nothing if
// that is empty. A name that begins with "@" is in the abstract name space.
func Notify(socket string, notices ...string) error {
	if socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	defer func() { _ = c.Close() }()
	for _, n := range notices {
		if _, err := c.Write([]byte(n)); err != nil {
			return fmt.Errorf("NOTIFY_SOCKET: %w", err)
		}
	}
	return nil
}
