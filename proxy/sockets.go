package proxy

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"portway/proxy/exchange"
)

// Kinds of sockets, as Adopt and Sockets name them.
const (
	KindHTTP  = "http"  // a stream socket for plain HTTP
	KindHTTPS = "https" // a stream socket for TLS
	KindHTTP3 = "http3" // a datagram socket for HTTP/3
)

// Adopt adds a socket that somebody else has opened and bound; f can be closed
// afterwards. A datagram socket of KindHTTPS is taken for one of KindHTTP3.
func (l *Listeners) Adopt(kind string, f *os.File) error {
	stream, streamErr := net.FileListener(f)
	packet, packetErr := net.FilePacketConn(f)
	udp, isUDP := packet.(*net.UDPConn)
	switch {
	case streamErr == nil && kind == KindHTTP:
		l.plain = append(l.plain, stream)
	case streamErr == nil && kind == KindHTTPS:
		l.secure = append(l.secure, stream)
	case packetErr == nil && isUDP && (kind == KindHTTP3 || kind == KindHTTPS):
		l.quic = append(l.quic, udp)
	default:
		if streamErr == nil {
			_ = stream.Close()
		}
		if packetErr == nil {
			_ = packet.Close()
		}
		return fmt.Errorf("the inherited socket %q is of no use: stream sockets are named %s or %s, UDP sockets %s",
			kind, KindHTTP, KindHTTPS, KindHTTP3)
	}
	return nil
}

// Socket is an open socket that a process to come may adopt.
type Socket struct {
	Kind string
	Conn syscall.Conn
}

// Sockets lists what is open.
func (l *Listeners) Sockets() []Socket {
	var all []Socket
	add := func(kind string, listeners []net.Listener) {
		for _, s := range listeners {
			if c, ok := s.(syscall.Conn); ok {
				all = append(all, Socket{kind, c})
			}
		}
	}
	add(KindHTTP, l.plain)
	add(KindHTTPS, l.secure)
	for _, s := range l.quic {
		all = append(all, Socket{KindHTTP3, s})
	}
	return all
}

// HTTP3 gives the UDP addresses that HTTP/3 is served at.
func (l *Listeners) HTTP3() []netip.AddrPort {
	var a []netip.AddrPort
	for _, s := range l.quic {
		a = append(a, addrPort(s.LocalAddr()))
	}
	return a
}

// OpenHTTP3 opens the UDP port of each HTTPS address, unless it has UDP sockets
// already. It enlarges the buffers of all, for which it may need root. Sites work
// without HTTP/3 too, so what goes wrong is only logged.
func (l *Listeners) OpenHTTP3(logger *slog.Logger) {
	if len(l.quic) == 0 {
		for _, a := range l.HTTPS() {
			s, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
			if err != nil {
				logger.Warn("no HTTP/3: the UDP port cannot be opened", "address", a.String(), "error", err,
					"fix", "free UDP port "+strconv.Itoa(int(a.Port()))+", or set http3: false")
				continue
			}
			l.quic = append(l.quic, s)
		}
	}
	small := false
	for _, s := range l.quic {
		small = !enlarge(s) || small
	}
	if small {
		logger.Info("the kernel keeps UDP buffers small, which slows large uploads over HTTP/3 down",
			"fix", fmt.Sprintf("on the host: sysctl -w net.core.rmem_max=%d net.core.wmem_max=%[1]d", udpBuffer))
	}
}

// udpBuffer is what quic-go wants as send and receive buffer.
const udpBuffer = 7 << 20

// altSvc says where the sites at an HTTPS address are to be had by HTTP/3 (RFC
// 7838); nil if nowhere. UDP is taken to be mapped as TCP is.
func (s *Server) altSvc(secure net.Addr) *exchange.Line {
	at := addrPort(secure)
	for _, a := range s.listeners.HTTP3() {
		if a.Port() != at.Port() || a.Addr().Unmap() != at.Addr().Unmap() {
			continue
		}
		port := int(at.Port())
		if s.cfg.HTTPSPort != 0 {
			port = s.cfg.HTTPSPort
		}
		return exchange.NewLine("Alt-Svc", fmt.Sprintf(`h3=":%d"; ma=%d`, port, altSvcAge))
	}
	return nil
}

// advertise tells the client about other ways to the site. What an origin says of
// itself is not true of us.
func advertise(ex *exchange.Exchange) {
	if alt := ex.Conn.AltSvc; alt != nil && ex.Response.Status >= 200 {
		ex.Response.Fields.SetLine(alt)
	}
}
