package upstream

import (
	"context"
	"crypto/tls"
	"net"

	"portway/proxy/exchange"
	"portway/proxy/wire"
)

// What an https origin is known to choose by ALPN.
const (
	alpnUnknown int32 = iota
	alpnHTTP1
	alpnHTTP2
)

const (
	protoHTTP1 = "http/1.1"
	protoHTTP2 = "h2"
)

// tlsConfigs derives what connections for HTTP/1.1 only, and those that leave the
// choice to the origin, are made with.
func tlsConfigs(cfg *Config) (only1, choice *tls.Config) {
	base := &tls.Config{}
	if cfg.TLS != nil {
		base = cfg.TLS.Clone()
	}
	if base.ServerName == "" {
		base.ServerName = "localhost"
		if host, _, err := net.SplitHostPort(cfg.Address); err == nil && cfg.Network != "unix" {
			base.ServerName = host
		}
	}
	if base.ClientSessionCache == nil {
		base.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	}
	// The origin is near: small first records would only cost.
	base.DynamicRecordSizingDisabled = true
	base.NextProtos = []string{protoHTTP1}
	choice = base.Clone()
	choice.NextProtos = []string{protoHTTP2, protoHTTP1}
	return base, choice
}

// dial opens a connection, with TLS if config is not nil.
func (p *Pool) dial(ex *exchange.Exchange, config *tls.Config) (dialed, error) {
	ctx, cancel := context.WithTimeout(ex.Context(), p.cfg.DialTimeout)
	defer cancel()
	sock, err := p.cfg.Dial(ctx, p.cfg.Network, p.cfg.Address)
	if err != nil {
		if cause := ex.Canceled(); cause != nil {
			return dialed{}, givenUp(cause)
		}
		return dialed{}, p.dialError(err)
	}
	if config == nil {
		return dialed{nc: wire.NewSock(sock), sock: sock}, nil
	}
	dry := &drySock{Conn: wire.NewSock(sock)}
	tc := tls.Client(dry, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = sock.Close()
		if cause := ex.Canceled(); cause != nil {
			return dialed{}, givenUp(cause)
		}
		return dialed{}, p.tlsError(err)
	}
	return dialed{nc: tc, sock: sock, dry: dry, alpn: tc.ConnectionState().NegotiatedProtocol}, nil
}
