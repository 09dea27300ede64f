//go:build unix && !linux

package upstream

import (
	"errors"

	"golang.org/x/sys/unix"
)

// silent tells whether a socket is open and has nothing to read.
func silent(fd uintptr, b *[1]byte) bool {
	_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return errors.Is(err, unix.EAGAIN)
}
