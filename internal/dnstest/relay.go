package dnstest

import (
	"io"
	"net"
	"time"
)

// relay hands on to BIND what arrives at another address, until close. BIND listens
// only at addresses that an interface has, so not at loopback addresses of our choice;
// and resolvers look for servers at port 53.
type relay struct {
	to  string
	udp net.PacketConn
	tcp net.Listener
}

func newRelay(at, to string) (*relay, error) {
	udp, err := net.ListenPacket("udp", at)
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", at)
	if err != nil {
		_ = udp.Close()
		return nil, err
	}
	r := &relay{to, udp, tcp}
	go r.datagrams()
	go r.connections()
	return r, nil
}

func (r *relay) close() {
	_ = r.udp.Close()
	_ = r.tcp.Close()
}

func (r *relay) datagrams() {
	for {
		query := make([]byte, 64<<10)
		n, from, err := r.udp.ReadFrom(query)
		if err != nil {
			return
		}
		go func() {
			conn, err := net.Dial("udp", r.to)
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err = conn.Write(query[:n]); err != nil {
				return
			}
			reply := make([]byte, 64<<10)
			if n, err := conn.Read(reply); err == nil {
				_, _ = r.udp.WriteTo(reply[:n], from) // the client asks again if it is lost
			}
		}()
	}
}

func (r *relay) connections() {
	for {
		client, err := r.tcp.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = client.Close() }()
			server, err := net.Dial("tcp", r.to)
			if err != nil {
				return
			}
			defer func() { _ = server.Close() }()
			go func() {
				_, _ = io.Copy(server, client)
				_ = server.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(client, server)
		}()
	}
}
