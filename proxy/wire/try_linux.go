//go:build !race

package wire

import (
	"syscall"
	"unsafe"
)

// TryRead reads from a non-blocking socket what is there: at its end 0 bytes and
// no error, syscall.EAGAIN if there is nothing yet. p is not empty.
func TryRead(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, asError(errno)
		}
	}
}

// TryWrite writes to a non-blocking socket what there is room for: syscall.EAGAIN if
// there is none. p is not empty.
func TryWrite(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, asError(errno)
		}
	}
}

// errAgain is syscall.EAGAIN as an error, which would be allocated each time.
var errAgain error = syscall.EAGAIN

func asError(errno syscall.Errno) error {
	if errno == syscall.EAGAIN {
		return errAgain
	}
	return errno
}
