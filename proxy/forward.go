package proxy

import (
	"bytes"
	"net/netip"

	"portway/proxy/exchange"
	"portway/proxy/middleware"
)

// client is what is known of who sent a request, and how.
type client struct {
	secure bool // by HTTPS, to us or to a trusted proxy in front of us

	// What trusted proxies report; nil if there are none.
	chain     []byte // X-Forwarded-For so far, in one line
	forwarded []byte // Forwarded so far, in one line
	proto     []byte // "http" or "https"
	host      []byte
	port      []byte
}

// identify finds out who sent ex, and sets ClientIP: the nearest address that is
// not a trusted proxy.
//
// If the peer is trusted, X-Forwarded-For counts, or Forwarded (RFC 7239) where
// there is none of it. The other one of the two is then not believed, but made
// anew: a proxy that writes only one of them would let its clients write the other.
func (s *Server) identify(ex *exchange.Exchange) client {
	peer := ex.Conn.Peer()
	ex.ClientIP = peer
	c := client{secure: ex.Conn.TLS != nil}
	if !ex.Trusted {
		return c
	}
	f := &ex.Request.Fields
	c.proto = scheme(first(f.Get("x-forwarded-proto")))
	c.host = authority(first(f.Get("x-forwarded-host")))
	c.port = port(first(f.Get("x-forwarded-port")))
	if c.chain = joined(ex, "x-forwarded-for"); c.chain != nil {
		ex.ClientIP = s.nearest(peer, c.chain)
	} else if c.forwarded = joined(ex, "forwarded"); c.forwarded != nil {
		s.believe(ex, &c)
	}
	if c.proto != nil {
		c.secure = string(c.proto) == "https"
	}
	return c
}

// nearest walks X-Forwarded-For from the right, past trusted proxies.
func (s *Server) nearest(peer netip.Addr, chain []byte) netip.Addr {
	client := peer
	for len(chain) > 0 {
		var last []byte
		if i := bytes.LastIndexByte(chain, ','); i >= 0 {
			chain, last = chain[:i], chain[i+1:]
		} else {
			chain, last = nil, chain
		}
		addr, ok := parseNode(bytes.TrimSpace(last))
		if !ok {
			break
		}
		if client = addr; !s.trusted(addr) {
			break
		}
	}
	return client
}

// believe takes from Forwarded what X-Forwarded-* do not say.
func (s *Server) believe(ex *exchange.Exchange, c *client) {
	elements, ok := parseForwarded(c.forwarded)
	if !ok { // nobody can tell what it says
		c.forwarded = nil
		return
	}
	start := len(ex.Memory)
	for i := range elements {
		if i > 0 {
			ex.Memory = append(ex.Memory, ", "...)
		}
		if addr, ok := parseNode(elements[i].node); ok {
			ex.Memory = addr.AppendTo(ex.Memory)
		} else {
			ex.Memory = append(ex.Memory, "unknown"...)
		}
	}
	c.chain = ex.Memory[start:len(ex.Memory):len(ex.Memory)]
	for i := len(elements) - 1; i >= 0; i-- {
		e := &elements[i]
		addr, ok := parseNode(e.node)
		if ok {
			ex.ClientIP = addr
		}
		if p := scheme(e.proto); p != nil {
			c.proto = p
		}
		if h := authority(e.host); h != nil {
			c.host = h
		}
		if !ok || !s.trusted(addr) {
			return
		}
	}
}

func (s *Server) trusted(addr netip.Addr) bool {
	for _, p := range *s.trust.Load() {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// setForwarded tells the origin who its client is: X-Forwarded-For, -Proto,
// -Host and -Port, X-Real-IP, and Forwarded. What the client sent of that family
// is removed.
func (s *Server) setForwarded(ex *exchange.Exchange, c *client) {
	q := &ex.Request
	peer := ex.Conn.Peer()
	if ex.Trusted {
		q.Fields.DelFunc(ours)
	} else {
		before := q.Fields.Len()
		q.Fields.DelFunc(family)
		ex.Relayed = q.Fields.Len() < before
	}
	scheme, host := "http", q.Authority
	if ex.Conn.TLS != nil {
		scheme = "https"
	}
	proto, protoLine := scheme, lineHTTP
	if c.proto != nil {
		proto = "http"
		if c.secure {
			proto = "https"
		}
	}
	if proto == "https" {
		protoLine = lineHTTPS
	}
	ex.Scheme = proto
	if c.host != nil {
		host = c.host
	}

	// What nobody but the client itself has said depends on the connection and the host.
	direct := c.proto == nil && c.host == nil && len(c.chain) == 0 && len(c.forwarded) == 0
	var chain, element []byte
	known := false
	if direct {
		chain, element, known = ex.Conn.Told.For(host)
	}
	m := memory{ex, len(ex.Memory)}
	if !known {
		if len(c.chain) > 0 {
			ex.Memory = append(append(ex.Memory, c.chain...), ", "...)
		}
		ex.Memory = appendAddr(ex.Memory, peer)
		chain = m.take()
	}
	q.Fields.AddNamed(nameFor, chain)
	q.Fields.AddLine(protoLine)
	q.Fields.AddNamed(nameHost, host)
	if port := forwardedPort(c, host); port != nil {
		q.Fields.AddNamed(namePort, port)
	} else if proto == "https" {
		q.Fields.AddLine(line443)
	} else {
		q.Fields.AddLine(line80)
	}
	switch {
	case !ex.ClientIP.IsValid():
	case ex.ClientIP == peer && len(c.chain) == 0:
		q.Fields.AddNamed(nameReal, chain)
	default:
		ex.Memory = ex.ClientIP.AppendTo(ex.Memory)
		q.Fields.AddNamed(nameReal, m.take())
	}

	switch {
	case known:
		q.Fields.AddNamed(nameForwarded, element)
		return
	case len(c.forwarded) > 0:
		ex.Memory = append(append(ex.Memory, c.forwarded...), ", "...)
		ex.Memory = appendElement(ex.Memory, peer, q.Authority, scheme)
	case len(c.chain) > 0:
		ex.Memory = appendChain(ex.Memory, c.chain, host, proto)
		ex.Memory = appendElement(ex.Memory, peer, q.Authority, scheme)
	default:
		ex.Memory = appendElement(ex.Memory, peer, host, proto)
	}
	element = m.take()
	q.Fields.AddNamed(nameForwarded, element)
	if direct {
		ex.Conn.Told.Keep(host, chain, element)
	}
}

// Names of fields, once and for all.
var (
	nameFor       = exchange.NewName("X-Forwarded-For")
	nameHost      = exchange.NewName("X-Forwarded-Host")
	namePort      = exchange.NewName("X-Forwarded-Port")
	nameReal      = exchange.NewName("X-Real-IP")
	nameForwarded = exchange.NewName("Forwarded")

	lineHTTP, lineHTTPS = exchange.NewLine("X-Forwarded-Proto", "http"), exchange.NewLine("X-Forwarded-Proto", "https")
	line80, line443     = exchange.NewLine("X-Forwarded-Port", "80"), exchange.NewLine("X-Forwarded-Port", "443")
)

// memory hands out what was appended to an exchange's Memory.
type memory struct {
	ex   *exchange.Exchange
	from int
}

func (m *memory) take() []byte {
	b := m.ex.Memory[m.from:len(m.ex.Memory):len(m.ex.Memory)]
	m.from = len(m.ex.Memory)
	return b
}

// forwardedPort is the port that the client used, as far as it was said; nil: the usual.
func forwardedPort(c *client, host []byte) []byte {
	if c.port != nil {
		return c.port
	}
	if bare := bareHost(host); len(bare) < len(host) {
		if p := port(host[len(bare)+1:]); p != nil {
			return p
		}
	}
	return nil
}

// family tells whether a field is one of those that proxies tell origins about
// clients by, also about their certificates. Origins that hand fields on as
// environment variables (CGI, WSGI)
// take "_" for "-", so it counts as the same.
func family(name, _ []byte) bool {
	return mayBeFamily(name) && (foldPrefix(name, "x-forwarded-") || ours(name, nil)) || middleware.ClientCertField(name)
}

// mayBeFamily spares most fields a closer look.
func mayBeFamily(name []byte) bool {
	return len(name) >= len("forwarded") && (name[0]|0x20 == 'x' || name[0]|0x20 == 'f')
}

// ours tells whether a field is one that setForwarded sets, or looks like one.
func ours(name, _ []byte) bool {
	if !mayBeFamily(name) {
		return false
	}
	for _, n := range []string{
		"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
		"x-real-ip", "forwarded", "x-forwarded",
	} {
		if len(name) == len(n) && foldPrefix(name, n) {
			return true
		}
	}
	return false
}

// foldPrefix tells whether b begins with prefix (lower case, "-"), in any case
// and with "_" for "-".
func foldPrefix(b []byte, prefix string) bool {
	if len(b) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := b[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// first is the first of a list.
func first(list []byte) []byte {
	if i := bytes.IndexByte(list, ','); i >= 0 {
		list = list[:i]
	}
	return bytes.TrimSpace(list)
}

// joined gives all lines of a list field as one; nil if there is nothing in them.
func joined(ex *exchange.Exchange, name string) []byte {
	f := &ex.Request.Fields
	switch f.Count(name) {
	case 0:
		return nil
	case 1:
		if v := f.Get(name); len(v) > 0 {
			return v
		}
		return nil
	}
	m := memory{ex, len(ex.Memory)}
	for n, v := range f.All() {
		if exchange.EqualFold(n, name) && len(v) > 0 {
			if len(ex.Memory) > m.from {
				ex.Memory = append(ex.Memory, ", "...)
			}
			ex.Memory = append(ex.Memory, v...)
		}
	}
	if b := m.take(); len(b) > 0 {
		return b
	}
	return nil
}

var schemeHTTP, schemeHTTPS = []byte("http"), []byte("https")

// scheme is b as a scheme, nil if it is none that we know.
func scheme(b []byte) []byte {
	switch {
	case exchange.EqualFold(b, "https"), exchange.EqualFold(b, "wss"):
		return schemeHTTPS
	case exchange.EqualFold(b, "http"), exchange.EqualFold(b, "ws"):
		return schemeHTTP
	}
	return nil
}

// authority is b if it may be a host, perhaps with a port; nil otherwise.
func authority(b []byte) []byte {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte(`"\/@?#<>,;`), c) >= 0 {
			return nil
		}
	}
	if len(b) == 0 || len(b) > 300 {
		return nil
	}
	return b
}

// port is b if it is a port number, nil otherwise.
func port(b []byte) []byte {
	n := 0
	for _, c := range b {
		if n = 10*n + int(c-'0'); c < '0' || c > '9' || n > 65535 {
			return nil
		}
	}
	if n == 0 {
		return nil
	}
	return b
}

// plainAddr is an address as people write it: IPv4 as such, without a zone.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "unknown"...)
	}
	return a.AppendTo(b)
}
