package exchange

import (
	"crypto/tls"
	"net/netip"
)

// Conn is what is known of the client's connection, the same for all its
// exchanges.
type Conn struct {
	Remote   netip.AddrPort       // the peer: the client, or a proxy in front of us
	Local    netip.AddrPort       // our address that it came to
	TLS      *tls.ConnectionState // nil for plain HTTP
	Protocol Protocol
	// ClientAsked says that the client was asked for a certificate in the handshake.
	ClientAsked bool
	// AltSvc is what answers tell about other ways to the sites of this connection
	// (RFC 7838); nil: nothing.
	AltSvc *Line
	// Told is what origins were told about the client with the first request, most
	// often the same with all; nil where connections do not last.
	Told *Told

	peer     netip.Addr // of Remote, see Peer
	peerText []byte     // the same as text; nil: not made
}

// Describe has what every exchange of the connection asks for made once. It is called,
// if at all, after Remote is set, and before the first exchange.
func (c *Conn) Describe() *Conn {
	if c.peer = plainAddr(c.Remote.Addr()); c.peer.IsValid() {
		c.peerText = c.peer.AppendTo(nil)
	}
	return c
}

// Peer is the address of Remote as people write it: IPv4 as such, without a zone.
func (c *Conn) Peer() netip.Addr {
	if c.peerText != nil {
		return c.peer
	}
	return plainAddr(c.Remote.Addr())
}

func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Protocol is the HTTP version spoken by the client.
type Protocol uint8

// The protocols of clients.
const (
	HTTP10 Protocol = iota + 1
	HTTP11
	HTTP2
	HTTP3
)

// String gives the protocol as logs write it, e.g. "HTTP/1.1".
func (p Protocol) String() string {
	switch p {
	case HTTP10:
		return "HTTP/1.0"
	case HTTP11:
		return "HTTP/1.1"
	case HTTP2:
		return "HTTP/2.0"
	case HTTP3:
		return "HTTP/3.0"
	}
	return "HTTP/?"
}

// AppendClientIP appends ClientIP as text; nothing if it is not known.
func (ex *Exchange) AppendClientIP(b []byte) []byte {
	switch {
	case ex.clientIsPeer():
		return append(b, ex.Conn.peerText...)
	case ex.ClientIP.IsValid():
		return ex.ClientIP.AppendTo(b)
	}
	return b
}

// ClientIPText is ClientIP as text, valid as long as ex; it is empty if it is not known.
func (ex *Exchange) ClientIPText() []byte {
	if ex.clientIsPeer() {
		return ex.Conn.peerText
	}
	from := len(ex.Memory)
	ex.Memory = ex.AppendClientIP(ex.Memory)
	return ex.Memory[from:len(ex.Memory):len(ex.Memory)]
}

// clientIsPeer tells whether the text of ClientIP is there already.
func (ex *Exchange) clientIsPeer() bool {
	return ex.Conn != nil && ex.Conn.peerText != nil && ex.Conn.peer == ex.ClientIP
}
