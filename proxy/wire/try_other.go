//go:build !linux || race

package wire

import "syscall"

// TryRead reads from a non-blocking socket what is there: at its end 0 bytes and
// no error, syscall.EAGAIN if there is nothing yet. p is not empty.
func TryRead(fd uintptr, p []byte) (int, error) {
	for {
		// The race detector learns from it what happens before what.
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// TryWrite writes to a non-blocking socket what there is room for: syscall.EAGAIN if
// there is none. p is not empty.
func TryWrite(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
