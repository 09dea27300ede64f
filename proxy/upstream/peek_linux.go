package upstream

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// peek looks at the next byte that waits in a socket without taking it: n is 0
// at the end of the stream; unix.EAGAIN means that nothing is there. The raw call
// never blocks, and unlike unix.Recvfrom does not allocate.
func peek(fd uintptr, b *[1]byte) (n int, err error) {
	r, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(b)), 1,
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}
