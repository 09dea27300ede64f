package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Listeners are open sockets that nobody serves yet.
type Listeners struct {
	plain, secure []net.Listener
	quic          []*net.UDPConn // for HTTP/3
}

// Listen opens the addresses ("host:port", ":80") for plain HTTP and for TLS. It
// opens all or none; an error names the address, what is in the way, and the
// setting to change.
func Listen(http, https []string) (*Listeners, error) {
	l := new(Listeners)
	if err := l.Open(http, https); err != nil {
		return nil, err
	}
	return l, nil
}

// Open does what Listen does for those kinds of which there is no socket yet. After
// an error everything is closed.
func (l *Listeners) Open(http, https []string) error {
	for _, kind := range []struct {
		setting   string
		addresses []string
		opened    *[]net.Listener
	}{
		{"http", http, &l.plain},
		{"https", https, &l.secure},
	} {
		if len(*kind.opened) > 0 {
			continue
		}
		for _, address := range kind.addresses {
			s, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
			if err != nil {
				l.Close()
				return explainListen(kind.setting, address, err)
			}
			*kind.opened = append(*kind.opened, s)
		}
	}
	return nil
}

// HTTP gives the addresses that plain HTTP is served at, with the actual port
// where 0 was asked for.
func (l *Listeners) HTTP() []netip.AddrPort { return addressesOf(l.plain) }

// HTTPS gives the addresses that TLS is served at.
func (l *Listeners) HTTPS() []netip.AddrPort { return addressesOf(l.secure) }

func addressesOf(listeners []net.Listener) []netip.AddrPort {
	var a []netip.AddrPort
	for _, l := range listeners {
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			a = append(a, tcp.AddrPort())
		}
	}
	return a
}

// Close closes them all. It may be called more than once.
func (l *Listeners) Close() {
	l.closeTCP()
	for _, s := range l.quic {
		_ = s.Close()
	}
}

func (l *Listeners) closeTCP() {
	for _, s := range l.plain {
		_ = s.Close()
	}
	for _, s := range l.secure {
		_ = s.Close()
	}
}

// explainListen says what to do about an address that cannot be listened on.
func explainListen(setting, address string, err error) error {
	change := fmt.Sprintf("choose another address by --%s", setting)
	fix := "correct --" + setting
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		fix = fmt.Sprintf("%s; stop it, or %s", holder(portOf(address)), change)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		fix = fmt.Sprintf("this needs root, the capability NET_BIND_SERVICE, or the sysctl net.ipv4.ip_unprivileged_port_start=%d; or %s",
			portOf(address), change)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		fix = "this machine (or container) has no such address; " + change
	}
	return fmt.Errorf("cannot listen on %s: %w: %s", address, err, fix)
}

func portOf(address string) uint16 {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		return 0
	}
	return uint16(n)
}
