//go:build unix && !linux

package wire

import "golang.org/x/sys/unix"

// hungUp looks whether the end of the stream is the next thing to read.
func hungUp(fd uintptr) bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err == nil && n == 0 || err == unix.ECONNRESET
}
