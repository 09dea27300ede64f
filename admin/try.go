package admin

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"

	"portway/route"
)

// Hop is what one replica did with a request that was sent to it directly, past all
// middleware.
type Hop struct {
	Upstream    string  `json:"upstream"`
	Address     string  `json:"address"`
	ConnectMS   float64 `json:"connect_ms"`
	TLSMS       float64 `json:"tls_ms"`
	FirstByteMS float64 `json:"first_byte_ms"` // after the request was sent
	Status      int     `json:"status"`        // 0: there was no answer
	Loop        bool    `json:"loop"`          // the answer redirects to what was asked for by HTTPS
	Error       string  `json:"error,omitempty"`
}

const tryTimeout = 10 * time.Second

// Try sends a request for a route to each of its ready replicas, without its
// middleware, to see how long they take. Only methods that change nothing are sent.
func (s *Server) Try(ctx context.Context, routeID, method, host, target string) ([]Hop, error) {
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, method) {
		return nil, fmt.Errorf("%s is not sent to replicas, since it may change something: only GET, HEAD and OPTIONS are", method)
	}
	v := s.view.Load()
	if v == nil || v.byID[routeID] == nil {
		return nil, fmt.Errorf("there is no route %q", routeID)
	}
	hops := []Hop{}
	for _, u := range s.replicas(v.byID[routeID]) {
		if u.State == route.Ready && u.Address != "" && len(hops) < 5 {
			hops = append(hops, try(ctx, u.Upstream, method, host, target))
		}
	}
	return hops, nil
}

func try(ctx context.Context, u route.Upstream, method, host, target string) (h Hop) {
	h = Hop{Upstream: u.Name, Address: u.Address}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	// What the transport began may go on behind the time limit.
	var mu sync.Mutex
	var times struct{ ConnectMS, TLSMS, FirstByteMS float64 }
	var began, sent time.Time
	locked := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
	}
	ms := func(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }
	defer locked(func() { h.ConnectMS, h.TLSMS, h.FirstByteMS = times.ConnectMS, times.TLSMS, times.FirstByteMS })
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart:    func() { locked(func() { began = time.Now() }) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { locked(func() { times.TLSMS = ms(began) }) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { locked(func() { sent = time.Now() }) },
		GotFirstResponseByte: func() { locked(func() { times.FirstByteMS = ms(sent) }) },
	})
	scheme := "http"
	if u.Scheme == route.HTTPS {
		scheme = "https"
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(u.Scheme != route.H2C)
	protocols.SetHTTP2(u.Scheme == route.HTTPS)
	protocols.SetUnencryptedHTTP2(u.Scheme == route.H2C)
	transport := &http.Transport{
		DisableKeepAlives: true, Protocols: protocols,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // nothing secret is sent; what the proxy verifies, its own errors tell
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			start := time.Now()
			conn, err := (&net.Dialer{}).DialContext(ctx, u.Network, u.Address)
			locked(func() { times.ConnectMS = ms(start) })
			return conn, err
		},
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, method, scheme+"://"+host+target, nil)
	if err != nil {
		h.Error = err.Error()
		return h
	}
	request.Header.Set("X-Forwarded-Proto", "https")
	request.Header.Set("User-Agent", "portway explain")
	resp, err := transport.RoundTrip(request)
	if err != nil {
		h.Error = err.Error()
		return h
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
	h.Status = resp.StatusCode
	if to, err := resp.Location(); err == nil && resp.StatusCode < 400 {
		h.Loop = to.String() == "https://"+host+target
	}
	return h
}

func (s *Server) postTry(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	hops, err := s.Try(r.Context(), v.Get("route"), v.Get("method"), v.Get("host"), v.Get("target"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, hops)
}

// LoopFix is what to do about a redirect that leads to where it comes from.
const LoopFix = "the application redirects to the address that it was asked for, so that browsers go round in circles: have it believe X-Forwarded-Proto, which Portway sets, or switch its own redirect to HTTPS off"
