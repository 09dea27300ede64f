//go:build unix && !linux

package upstream

import "golang.org/x/sys/unix"

// peek looks at the next byte that waits in a socket without taking it: n is 0
// at the end of the stream; unix.EAGAIN means that nothing is there.
func peek(fd uintptr, b *[1]byte) (n int, err error) {
	n, _, err = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n, err
}
