//nolint:staticcheck // x/net marks its client as deprecated in favour of net/http.Transport.NewClientConn, which has neither extended CONNECT (RFC 8441) nor PING.
package upstream

import (
	"context"
	"net/http"
	"slices"

	"golang.org/x/net/http2"

	"portway/proxy/exchange"
)

// What we use of x/net's client.
type (
	transport2  = http2.Transport
	clientConn2 = http2.ClientConn
	goAway2     = http2.GoAwayError
)

// newTransport2 sets up x/net's client; the connections are ours to keep.
func (p *Pool) newTransport2() *transport2 {
	base := &http.Transport{
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHead,
		HTTP2: &http.HTTP2Config{
			// A connection waits for a stream to end where the origin allows no more;
			// when to open another is decided in take2.
			StrictMaxConcurrentRequests: true,
			// What a slow client can make us hold. For the connection there is no such
			// limit, or some slow clients would stop all others.
			MaxReceiveBufferPerStream: 512 << 10,
		},
	}
	t, err := http2.ConfigureTransports(base)
	if err != nil { // only if base was configured before
		panic(err)
	}
	t.AllowHTTP = true
	t.MaxHeaderListSize = maxHead
	t.ConnPool = deadConns{p}
	return t
}

// deadConns hears from the client which connections ended.
type deadConns struct{ pool *Pool }

var _ http2.ClientConnPool = deadConns{}

// GetClientConn is for requests by way of the Transport, which nobody makes.
func (deadConns) GetClientConn(*http.Request, string) (*http2.ClientConn, error) {
	return nil, http2.ErrNoCachedConn
}

// MarkDead forgets a connection.
func (d deadConns) MarkDead(cc *http2.ClientConn) {
	p := d.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.conns2, func(c *conn2) bool { return c.cc == cc }); i >= 0 {
		p.forget2Locked(i)
	}
}

// greet begins HTTP/2 on a connection and waits for the answer to a PING, before
// which the origin's SETTINGS must come. So requests go only to who speaks HTTP/2,
// and never more than it allows at once.
func (p *Pool) greet(ex *exchange.Exchange, d dialed) (*http2.ClientConn, error) {
	ctx, cancel := context.WithTimeout(ex.Context(), p.cfg.DialTimeout)
	defer cancel()
	cc, err := p.h2.NewClientConn(newGather(d.nc, max(0, p.cfg.Idle)))
	if err == nil {
		if err = cc.Ping(ctx); err == nil {
			return cc, nil
		}
	}
	_ = d.sock.Close()
	if cause := ex.Canceled(); cause != nil {
		return nil, givenUp(cause)
	}
	return nil, p.greetError(err)
}
