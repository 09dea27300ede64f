package upstream

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// silent tells whether a socket is open and has nothing to read. The raw call
// never blocks, and unlike unix.Recvfrom does not allocate.
func silent(fd uintptr, b *[1]byte) bool {
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(b)), 1,
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return errno == unix.EAGAIN
}
