package wstest

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Key is the Sec-WebSocket-Key of all handshakes of this package.
const Key = "cG9ydHdheSB0ZXN0IGtleQ=="

// Accept is the answer to key (RFC 6455 section 4.2.2).
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// HTTP1 is a connection whose handshake is over.
type HTTP1 struct {
	net.Conn
	R *bufio.Reader // of what came behind the handshake
}

func (c *HTTP1) Read(p []byte) (int, error) { return c.R.Read(p) }

// CloseWrite sends close_notify, or FIN.
func (c *HTTP1) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// Abort resets the TCP connection.
func (c *HTTP1) Abort() { reset(c.Conn) }

func reset(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// DialHTTP1 asks for an upgrade on nc, with early in the same write, and returns
// the answer. With 101 the stream goes on in conn; otherwise resp.Body is the
// answer's.
func DialHTTP1(nc net.Conn, host, path string, header http.Header, early []byte) (conn *HTTP1, resp *http.Response, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", path, host, Key)
	_ = header.Write(&b) // a strings.Builder never fails
	b.WriteString("\r\n")
	b.Write(early)
	if _, err := io.WriteString(nc, b.String()); err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(nc)
	resp, err = http.ReadResponse(r, nil)
	if err != nil {
		return nil, nil, err
	}
	return &HTTP1{Conn: nc, R: r}, resp, nil
}

// AcceptHTTP1 reads the request for an upgrade that an origin gets on nc.
func AcceptHTTP1(nc net.Conn) (*HTTP1, *http.Request, error) {
	r := bufio.NewReader(nc)
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, nil, err
	}
	if !strings.EqualFold(req.Header.Get("Upgrade"), "websocket") || !strings.EqualFold(req.Header.Get("Connection"), "upgrade") ||
		req.Header.Get("Sec-Websocket-Version") != "13" {
		return nil, nil, fmt.Errorf("no WebSocket handshake: %s %v", req.Method, req.Header)
	}
	return &HTTP1{Conn: nc, R: r}, req, nil
}

// Agree answers req with 101 and header, with early in the same write.
func (c *HTTP1) Agree(req *http.Request, header http.Header, early []byte) error {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
	if header.Get("Sec-Websocket-Accept") == "" {
		fmt.Fprintf(&b, "Sec-WebSocket-Accept: %s\r\n", Accept(req.Header.Get("Sec-Websocket-Key")))
	}
	_ = header.Write(&b)
	b.WriteString("\r\n")
	b.Write(early)
	_, err := io.WriteString(c.Conn, b.String())
	return err
}
