package upstream

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"

	"portway/proxy/exchange"
	"portway/proxy/h1"
)

const (
	wsKeyField    = "sec-websocket-key"
	wsAcceptField = "sec-websocket-accept"
	wsKeyLen      = 24 // 16 bytes in base64
)

// askWebSocket adds the key of a WebSocket handshake if the client gave none,
// since HTTP/2 has no such field (RFC 8441 section 5.1). It works on a request
// head, before the empty line.
func (s *stream) askWebSocket(head []byte) []byte {
	q := &s.ex.Request
	if !exchange.EqualFold(q.Upgrade, "websocket") || q.Fields.Has(wsKeyField) {
		return head
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	base64.StdEncoding.Encode(s.wsKey[:], raw[:])
	s.hasKey = true
	head = append(head[:len(head)-2], "Sec-WebSocket-Key: "...)
	head = append(head, s.wsKey[:]...)
	return append(head, "\r\n\r\n"...)
}

// wsAccept computes the proof that a server understood the key (RFC 6455 section 4.2.2).
func wsAccept(key []byte) string {
	h := sha1.New()
	_, _ = h.Write(key) // never fails (hash.Hash)
	_, _ = io.WriteString(h, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// switched makes a tunnel of the connection after 101 Switching Protocols.
func (s *stream) switched(c *conn, f h1.Framing, rest []byte) error {
	q, r := &s.ex.Request, &s.ex.Response
	if !upgrades(q) || !equalFold(f.Upgrade, q.Upgrade) {
		return s.broke("switched to a protocol that nobody asked for", nil)
	}
	if s.hasKey {
		if string(r.Fields.Get(wsAcceptField)) != wsAccept(s.wsKey[:]) {
			return s.broke("gave a wrong Sec-WebSocket-Accept", nil)
		}
		r.Fields.Del(wsAcceptField)
	}
	c.recv.set(ours)
	r.Tunnel = &tunnel{stream: s, conn: c, rest: rest}
	return nil
}

// tunnel is a connection after an upgrade. It has no time limits here. stream
// closes the connection with the exchange.
type tunnel struct {
	stream *stream
	conn   *conn
	rest   []byte // read behind the head
}

var _ exchange.Tunnel = (*tunnel)(nil)

func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.rest) > 0 {
		n := copy(p, t.rest)
		t.rest = t.rest[n:]
		return n, nil
	}
	return t.conn.nc.Read(p)
}

func (t *tunnel) Write(p []byte) (int, error) { return t.conn.nc.Write(p) }

func (t *tunnel) Close() error {
	t.conn.pool.kill(t.conn, net.ErrClosed)
	return nil
}

// CloseWrite ends our direction, by close_notify with TLS.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.conn.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// equalFold compares names of protocols without regard to ASCII case.
func equalFold(a, b []byte) bool {
	lower := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}
