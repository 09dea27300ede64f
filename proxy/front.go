package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"portway/proxy/exchange"
)

// front is the server side of a protocol.
type front interface {
	// serve speaks the protocol on c, which it closes at the end. It may return
	// before that.
	serve(c net.Conn)
	// shutdown lets requests in flight finish, closes connections without any, and
	// returns when none is left or ctx is done. Upgraded connections do not count.
	shutdown(ctx context.Context)
}

// netFront is net/http's server for HTTP/1.1 and, over TLS, HTTP/2. It accepts
// from itself: it is the Listener of its server, and serve hands connections in.
type netFront struct {
	server *http.Server
	accept chan net.Conn
	once   sync.Once
	closed chan struct{}
}

var (
	_ front        = (*netFront)(nil)
	_ net.Listener = (*netFront)(nil)
)

func newNetFront(h exchange.Handler, l limits, logger *slog.Logger) *netFront {
	f := &netFront{accept: make(chan net.Conn), closed: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	f.server = &http.Server{
		Handler:                      exchange.FromHTTP(h, l.idle),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            l.head,
		IdleTimeout:                  l.keepAlive,
		MaxHeaderBytes:               maxHead,
		Protocols:                    protocols,
		// A connection whose client is gone without a word must not be kept by its
		// silent streams.
		HTTP2:    &http.HTTP2Config{SendPingTimeout: l.head, PingTimeout: 15 * time.Second, WriteByteTimeout: l.idle},
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	go func() { _ = f.server.Serve(f) }() // ends with Close, which shutdown calls
	return f
}

func (f *netFront) serve(c net.Conn) {
	select {
	case f.accept <- c:
	case <-f.closed:
		_ = c.Close()
	}
}

func (f *netFront) shutdown(ctx context.Context) {
	_ = f.server.Shutdown(ctx) // its only error is that of ctx: the rest is cut later
}

// Accept yields a connection that serve was given.
func (f *netFront) Accept() (net.Conn, error) {
	select {
	case c := <-f.accept:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (f *netFront) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// Addr is of no use to anyone.
func (f *netFront) Addr() net.Addr { return &net.TCPAddr{} }
