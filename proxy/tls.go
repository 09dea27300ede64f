package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"portway/proxy/observe"
	"portway/proxy/wire"
)

// Protocols that are offered by ALPN (RFC 7301).
const (
	alpnHTTP1     = "http/1.1"
	alpnHTTP2     = "h2"
	alpnChallenge = "acme-tls/1" // RFC 8737; all is said in the handshake
)

// tlsConfig is for all TLS connections: TLS 1.2 with forward secrecy and
// authenticated encryption only, or 1.3; session tickets with keys that crypto/tls
// rotates.
func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{alpnHTTP2, alpnHTTP1, alpnChallenge},
		CipherSuites: []uint16{ // of TLS 1.2
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate:     s.certificate,
		GetConfigForClient: s.configForClient, // of the inner hello, if it was encrypted

		GetEncryptedClientHelloKeys: s.cfg.HelloKeys,
	}
}

// certificate answers a handshake for a name that is not ours with the alert
// unrecognized_name, which crypto/tls sends when there is no certificate and no
// error.
func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := s.cfg.Certs.GetCertificate(hello)
	if err != nil {
		s.logger.Debug("no certificate for a client", "name", hello.ServerName, "client", hello.Conn.RemoteAddr().String(), "error", err)
		return nil, nil
	}
	return cert, nil
}

// handshake makes c a TLS connection. A client without ALPN gets HTTP/1.1.
func (s *Server) handshake(c net.Conn) (*tls.Conn, *tls.ConnectionState, error) {
	t := tls.Server(wire.NewCork(c), s.tls)
	_ = c.SetDeadline(time.Now().Add(s.limits.handshake))
	if err := t.HandshakeContext(context.Background()); err != nil {
		var record tls.RecordHeaderError
		if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
			err = errors.New("the client spoke plain HTTP")
			refusePlain(record.Conn)
		}
		_ = c.Close()
		return nil, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	_ = c.SetDeadline(time.Time{})
	state := t.ConnectionState()
	if state.NegotiatedProtocol == "" {
		state.NegotiatedProtocol = alpnHTTP1
	}
	return t, &state, nil
}

// observedHandshake is handshake, of which the observer is told if it wants to know.
func (s *Server) observedHandshake(c net.Conn) (*tls.Conn, *tls.ConnectionState, error) {
	o, ok := s.cfg.Observer.(observe.Connections)
	if !ok {
		return s.handshake(c)
	}
	begun := time.Now()
	t, state, err := s.handshake(c)
	o.Handshake(state, time.Since(begun), err)
	return t, state, err
}

// looksLikeHTTP tells whether what should be a TLS record begins a request.
func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}

func refusePlain(c net.Conn) {
	const body = "This port speaks HTTPS. Use an address that begins with https://\n"
	_, _ = fmt.Fprintf(c, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	if half, ok := wire.Socket(c).(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		// Closing with unread bytes would reset the connection before the answer is read.
		_, _ = io.CopyN(io.Discard, c, maxHead)
	}
}
