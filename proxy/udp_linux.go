package proxy

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// enlarge gives a socket large buffers, and tells whether the kernel lets it.
func enlarge(s *net.UDPConn) bool {
	// Or quic-go logs by itself, past our logger.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	large := true
	_ = raw.Control(func(fd uintptr) {
		for option, force := range map[int]int{unix.SO_RCVBUF: unix.SO_RCVBUFFORCE, unix.SO_SNDBUF: unix.SO_SNDBUFFORCE} {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, force, udpBuffer) != nil { // with CAP_NET_ADMIN only
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, udpBuffer)
			}
			n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option)
			large = large && err == nil && n >= udpBuffer
		}
	})
	return large
}
