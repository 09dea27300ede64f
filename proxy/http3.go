package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"portway/proxy/exchange"
	"portway/proxy/h1"
)

const (
	// altSvcAge is how long clients remember, in seconds, that there is HTTP/3.
	altSvcAge = 86400
	// farewell is how long clients may take to close connections on which nothing
	// is left to do, and answers to arrive that were sent last.
	farewell = time.Second
	// rushRate is how many connections may begin in a second before clients have to
	// prove their address first (RFC 9000 section 8.1.2), which takes a round trip.
	rushRate = 200
)

// quicLimits bound what one client may make us hold, as those of HTTP/2 do.
// Pings keep connections with open requests alive and find out about dead ones.
func (s *Server) quicLimits() *quic.Config {
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1, quic.Version2},
		HandshakeIdleTimeout:           s.limits.handshake / 2,
		MaxIdleTimeout:                 s.limits.idle,
		KeepAlivePeriod:                s.limits.idle / 3,
		MaxIncomingStreams:             250,
		MaxIncomingUniStreams:          8, // HTTP/3 needs three
		MaxStreamReceiveWindow:         2 << 20,
		MaxConnectionReceiveWindow:     4 << 20,
		InitialStreamReceiveWindow:     256 << 10,
		InitialConnectionReceiveWindow: 512 << 10,
	}
}

// http3Front serves HTTP/3, which finds its connections itself.
type http3Front struct {
	server  *http3.Server
	tls     *tls.Config
	limits  *quic.Config
	wait    <-chan struct{} // see Config.HTTP3After
	handler http.Handler
	rush    rush
	busy    atomic.Int64 // requests in flight
	serving sync.WaitGroup
	ended   chan struct{} // closed by Shutdown

	once sync.Once // Shutdown
	err  error

	mu         sync.Mutex
	closed     bool
	transports []*quic.Transport
	listeners  []*quic.Listener
}

func (s *Server) newHTTP3() *http3Front {
	config := http3.ConfigureTLSConfig(s.tls)
	config.GetConfigForClient = s.h3ConfigForClient
	f := &http3Front{
		tls:    config,
		limits: s.quicLimits(),
		wait:   s.cfg.HTTP3After,
		ended:  make(chan struct{}),
	}
	f.handler = exchange.FromHTTP(exchange.HandlerFunc(s.serveHTTP3), s.limits.idle)
	f.server = &http3.Server{
		Handler:        f,
		MaxHeaderBytes: maxHead,
		IdleTimeout:    s.limits.keepAlive,
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context {
			state := c.ConnectionState().TLS
			return exchange.WithConn(ctx, (&exchange.Conn{
				Remote: addrPort(c.RemoteAddr()), Local: addrPort(c.LocalAddr()), TLS: &state, Protocol: exchange.HTTP3,
				ClientAsked: s.handshakes().of(state.ServerName).asks,
			}).Describe())
		},
	}
	return f
}

// serveHTTP3 begins an exchange, unless its target could be taken for something
// else behind us. quic-go has looked at fields, but not at these.
func (s *Server) serveHTTP3(ex *exchange.Exchange) {
	q := &ex.Request
	asterisk := string(q.Path) == "*" || string(q.Method) == http.MethodConnect
	if !h1.ValidAuthority(q.Authority) || !asterisk && !h1.ValidPath(q.Path) || !h1.ValidQuery(q.Query) {
		s.refuse(ex, http.StatusBadRequest, "its target is malformed")
		return
	}
	s.serve(ex)
}

// ServeHTTP counts requests in flight.
func (f *http3Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.busy.Add(1)
	defer f.busy.Add(-1)
	f.handler.ServeHTTP(w, r)
}

// start serves on sockets, in the background.
func (f *http3Front) start(sockets []*net.UDPConn, failed func(error)) {
	for _, socket := range sockets {
		f.serving.Go(func() {
			if f.wait != nil {
				select {
				case <-f.wait:
				case <-f.ended:
					return
				}
			}
			if err := f.serve(socket); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, quic.ErrServerClosed) {
				failed(err)
			}
		})
	}
}

// serve serves on one socket until Shutdown.
func (f *http3Front) serve(socket *net.UDPConn) error {
	listener, err := f.listen(socket)
	if err != nil {
		return fmt.Errorf("cannot serve HTTP/3 at %s: %w", socket.LocalAddr(), err)
	}
	return f.server.ServeListener(listener)
}

func (f *http3Front) listen(socket *net.UDPConn) (*quic.Listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, http.ErrServerClosed
	}
	transport := &quic.Transport{Conn: socket, VerifySourceAddress: f.rush.over}
	listener, err := transport.Listen(f.tls, f.limits)
	if err == nil {
		f.transports, f.listeners = append(f.transports, transport), append(f.listeners, listener)
	}
	return listener, err
}

// Shutdown tells clients to go (GOAWAY, RFC 9114 section 5.2), waits for requests
// in flight, and then closes the connections. When ctx is done first, what is left is
// cut off and the cause returned. The sockets are not read any more afterwards,
// but open. Later calls wait for the first.
func (f *http3Front) Shutdown(ctx context.Context) error {
	f.once.Do(func() { f.err = f.shutdown(ctx) })
	return f.err
}

func (f *http3Front) shutdown(ctx context.Context) error {
	close(f.ended)
	f.mu.Lock()
	f.closed = true
	transports, listeners := f.transports, f.listeners
	f.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
	}
	// Clients close connections when they have no more use for them. Who does not,
	// is not waited for longer than requests are in flight.
	quiet, cancel := context.WithCancel(ctx)
	defer cancel()
	busy := make(chan bool, 1)
	go func() {
		busy <- f.untilQuiet(quiet) > 0
		cancel()
	}()
	_ = f.server.Shutdown(quiet)
	cancel()
	for _, t := range transports {
		_ = t.Close()
	}
	f.serving.Wait()
	if <-busy {
		return context.Cause(ctx)
	}
	return nil
}

// untilQuiet waits until there has been no request in flight for a while, and
// tells how many there were at last.
func (f *http3Front) untilQuiet(ctx context.Context) (busy int64) {
	const look = farewell / 50
	tick := time.NewTicker(look)
	defer tick.Stop()
	for still := time.Duration(0); still < farewell; still += look {
		if busy = f.busy.Load(); busy > 0 {
			still = 0
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if ctx.Err() != nil {
			return busy
		}
	}
	return 0
}

// rush tells when many connections begin at once, as in a flood with forged
// addresses.
type rush struct {
	mu     sync.Mutex
	second time.Time
	begun  int
}

func (r *rush) over(net.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.second) >= time.Second {
		r.second, r.begun = now, 0
	}
	r.begun++
	return r.begun > rushRate
}
