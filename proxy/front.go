package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"portway/proxy/exchange"
	"portway/proxy/h1"
	"portway/proxy/h2"
)

// front is the server side of a protocol.
type front interface {
	drainer
	// ServeConn speaks the protocol on nc, which it closes at the end, when it
	// returns.
	ServeConn(nc net.Conn, info *exchange.Conn)
}

// drainer can end.
type drainer interface {
	// Shutdown lets requests in flight finish, closes connections without any, and
	// returns when none is left. When ctx is done first, it cuts off those that are left
	// and returns why.
	Shutdown(ctx context.Context) error
}

var (
	_ front = (*h1.Server)(nil)
	_ front = (*h2.Server)(nil)

	_ drainer = (*http3Front)(nil)
)

// fronts makes a front for each protocol that ALPN may choose.
func (s *Server) fronts() map[string]front {
	handler := exchange.HandlerFunc(s.serve)
	l := s.limits
	return map[string]front{
		alpnHTTP1: &h1.Server{
			Handler: handler, Limits: h1.Limits{HeadBytes: maxHead}, Refuse: s.refuse, Logger: s.logger,
			Timeouts: h1.Timeouts{Head: l.head, Idle: l.keepAlive, Body: l.idle},
		},
		alpnHTTP2: &h2.Server{
			Handler: handler, Limits: h2.Limits{HeadBytes: maxHead}, Refuse: s.refuse, Logger: s.logger,
			Timeouts: h2.Timeouts{Head: l.head, Idle: l.keepAlive, Body: l.idle},
		},
	}
}

// refuse answers a request that a front could not understand.
func (s *Server) refuse(ex *exchange.Exchange, status int, reason string) {
	if !ex.ClientIP.IsValid() {
		ex.ClientIP = plainAddr(ex.Conn.Remote.Addr())
	}
	s.fail(ex, page{status: status, why: "The request was refused: " + reason + "."}, nil)
	s.clock.stamp(ex)
}

// checkTunnel replaces an answer that would open a WebSocket which nobody serves:
// to extended CONNECT, every 2xx says that the stream is the WebSocket from here
// on (RFC 8441 section 5, RFC 9220).
func (s *Server) checkTunnel(ex *exchange.Exchange) {
	p := &ex.Response
	if ex.Request.Upgrade == nil || p.Tunnel != nil || p.Status/100 != 2 || ex.Conn.Protocol < exchange.HTTP2 {
		return
	}
	s.fail(ex, page{
		status: http.StatusBadGateway,
		why:    fmt.Sprintf("A WebSocket was asked for, but the application answered with status %d instead.", p.Status),
	}, nil)
}

// describe tells exchanges about their connection; state is nil without TLS.
func describe(c net.Conn, state *tls.ConnectionState, protocol exchange.Protocol) *exchange.Conn {
	remote, local := ends(c)
	info := exchange.Conn{Remote: remote, Local: local, TLS: state, Protocol: protocol, Told: new(exchange.Told)}
	return info.Describe()
}

// addrPort is a as a number; the zero value if it is not of TCP or UDP.
func addrPort(a net.Addr) netip.AddrPort {
	if ip, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return ip.AddrPort()
	}
	return netip.AddrPort{}
}
