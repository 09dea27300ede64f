package proxy

import (
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// headerTime is how long a load balancer may take to say whom it speaks for.
const headerTime = 5 * time.Second

// announced makes l read the PROXY protocol's header from peers in ranges; they
// must send one. Others are taken as they are, so that a header from them is no
// HTTP and no TLS.
func announced(l net.Listener, ranges []netip.Prefix) net.Listener {
	if len(ranges) == 0 {
		return l
	}
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: headerTime,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			peer := plainAddr(addrPort(o.Upstream).Addr())
			for _, r := range ranges {
				if r.Contains(peer) {
					return proxyproto.REQUIRE, nil
				}
			}
			return proxyproto.SKIP, nil
		},
	}
}

// introduce waits until it is known who c comes from.
func (s *Server) introduce(c net.Conn) bool {
	p, ok := c.(*proxyproto.Conn)
	if !ok {
		return true
	}
	if !s.conns.add(c) {
		_ = c.Close()
		return false
	}
	defer s.conns.remove(c)
	if _, err := p.Read(nil); err != nil {
		s.logger.Debug("no PROXY header from a load balancer", "peer", p.Raw().RemoteAddr().String(), "error", err)
		_ = c.Close()
		return false
	}
	return true
}

// ends gives the client's address and ours. Where a load balancer speaks for a
// client that has no IP address, such as one on a unix socket, they are its own.
func ends(c net.Conn) (remote, local netip.AddrPort) {
	remote, local = addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	if p, ok := c.(*proxyproto.Conn); ok && (!remote.IsValid() || !local.IsValid()) {
		raw := p.Raw()
		remote, local = addrPort(raw.RemoteAddr()), addrPort(raw.LocalAddr())
	}
	return remote, local
}
