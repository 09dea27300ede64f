package wire

import "golang.org/x/sys/unix"

// hungUp asks the kernel for the end of the stream, which it tells even while
// there is something to read before it, such as TLS's last alert.
func hungUp(fd uintptr) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds[:], 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}
