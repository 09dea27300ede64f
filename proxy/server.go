package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go/http3"

	"portway/proxy/cache"
	"portway/proxy/exchange"
	"portway/proxy/observe"
	"portway/route"
)

// Server is the data plane. Its methods may be called from any goroutine.
type Server struct {
	cfg       Config
	logger    *slog.Logger
	limits    limits
	listeners *Listeners
	tls       *tls.Config
	httpsPort int // 0: HTTPS is switched off
	plain     map[string]exchange.Handler
	secure    map[string]exchange.Handler

	trust    atomic.Pointer[[]netip.Prefix]
	table    atomic.Pointer[table]
	setting  sync.Mutex // held by SetTable
	replicas *replicas
	cache    *cache.Cache
	checks   *checks
	mirrors  mirrors
	conns    conns
	clock    dateClock
	http3    *http3Front // nil without UDP sockets
	leaving  atomic.Bool // see StepAside
}

// New prepares a Server. It opens the listeners, unless Config has them, so that
// an address in use is reported at the start; nothing is accepted before Run.
func New(cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	listeners := cfg.Listeners
	if listeners == nil {
		var err error
		if listeners, err = Listen(cfg.HTTP, cfg.HTTPS); err != nil {
			return nil, err
		}
		if cfg.HTTP3 {
			listeners.OpenHTTP3(cfg.Logger)
		}
	}
	if cfg.Certs == nil && len(listeners.secure)+len(listeners.quic) > 0 {
		listeners.Close()
		return nil, errors.New("HTTPS is to be served, but nothing provides certificates")
	}
	if cfg.Drain == 0 {
		cfg.Drain = defaultDrain
	}
	if cfg.Cache == nil {
		var err error
		if cfg.Cache, err = cache.New(cache.Config{Logger: cfg.Logger}); err != nil {
			listeners.Close()
			return nil, err
		}
	}
	s := &Server{
		cfg: cfg, logger: cfg.Logger, limits: defaultLimits, listeners: listeners,
		httpsPort: cfg.HTTPSPort, plain: make(map[string]exchange.Handler), secure: make(map[string]exchange.Handler),
	}
	s.SetTrusted(cfg.Trusted)
	s.cache = cfg.Cache
	s.replicas = newReplicas(dialPool)
	s.mirrors.init()
	s.checks = newChecks(s.logger, reach, s.checked)
	s.tls = s.tlsConfig()
	if a := listeners.HTTPS(); s.httpsPort == 0 && len(a) > 0 {
		s.httpsPort = int(a[0].Port())
	}
	for path, h := range cfg.Plain {
		s.plain[path] = exchange.ToHTTP(h)
	}
	for path, h := range cfg.Secure {
		s.secure[path] = exchange.ToHTTP(h)
	}
	if len(listeners.quic) > 0 {
		s.http3 = s.newHTTP3()
	}
	return s, nil
}

// SetTrusted puts ranges in place of Config.Trusted, from the next request on.
func (s *Server) SetTrusted(ranges []netip.Prefix) { s.trust.Store(&ranges) }

// SetTable serves t from the next request on. Requests in flight finish by the
// table they began with. State of upstreams and routes that stay is kept;
// connections to upstreams that are gone are closed when their last request ends.
func (s *Server) SetTable(t *route.Table) {
	s.setting.Lock()
	defer s.setting.Unlock()
	prev := s.table.Load()
	next := s.compile(prev, t)
	if prev == nil {
		next.awaitChecks()
	}
	for _, n := range next.sites {
		n.origin.install(s.replicaSet(n, next.used))
	}
	for _, n := range next.sites { // all members have their replicas now
		n.split.plan.Store(next.planFor(n, n.split.plan.Load()))
	}
	s.table.Store(next)
	s.replicas.retain(next)
	s.checks.retain(next)
}

// Run serves until ctx is done, then stops accepting and waits for requests in
// flight, at most Config.Drain. It returns nil after a clean end, and an error if
// a listener failed or connections had to be cut off at the end. It can be called
// once.
func (s *Server) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	fronts := s.fronts()

	failed := make(chan error, len(s.listeners.plain)+len(s.listeners.secure)+len(s.listeners.quic))
	var accepting sync.WaitGroup
	fail := func(err error) {
		failed <- err
		stop()
	}
	listen := func(l net.Listener, handle func(net.Conn)) {
		accepting.Go(func() {
			if err := s.accept(ctx, announced(l, s.cfg.ProxyProtocolFrom), handle); err != nil {
				fail(err)
			}
		})
	}
	for _, l := range s.listeners.plain {
		listen(l, func(c net.Conn) {
			if s.introduce(c) {
				fronts[alpnHTTP1].ServeConn(c, describe(c, nil, exchange.HTTP11))
			}
		})
	}
	for _, l := range s.listeners.secure {
		altSvc := s.altSvc(l.Addr())
		listen(l, func(c net.Conn) {
			if s.introduce(c) {
				s.serveTLS(c, fronts, altSvc)
			}
		})
	}
	if s.http3 != nil {
		s.http3.start(s.listeners.quic, fail)
	}
	var sweeping sync.WaitGroup
	swept := make(chan struct{})
	sweeping.Go(func() { s.replicas.sweep(swept) })
	sweeping.Go(func() { newTidier().run(swept) })

	<-ctx.Done()
	s.listeners.closeTCP()
	accepting.Wait()
	if s.leaving.Load() {
		s.lastRequests(fronts)
	}
	err := s.drain(fronts)
	s.cache.Close()
	s.listeners.Close()
	close(swept)
	sweeping.Wait()
	s.mirrors.close()
	s.checks.close()
	s.replicas.close()
	select {
	case broken := <-failed:
		return errors.Join(broken, err)
	default:
		return err
	}
}

// drain ends all connections, by force at the end of the time for it.
func (s *Server) drain(fronts map[string]front) error {
	ending := make([]drainer, 0, len(fronts)+1)
	for _, f := range fronts {
		ending = append(ending, f)
	}
	if s.http3 != nil {
		ending = append(ending, s.http3)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.cfg.Drain, errDrained)
	defer cancel()
	s.conns.drain()
	errs := make([]error, 0, len(ending))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, f := range ending {
		wg.Go(func() {
			err := f.Shutdown(ctx)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	if errors.Join(errs...) != nil {
		return fmt.Errorf("connections were still busy after %v and have been cut off", s.cfg.Drain)
	}
	return nil
}

// errDrained is what requests end with that outlast the time to drain.
var errDrained = errors.New("stopping, and the time for draining is over")

// accept hands connections of l to handle, each on a goroutine of its own, until
// ctx is done. A lack of file descriptors or memory makes it wait, and say so.
func (s *Server) accept(ctx context.Context, l net.Listener, handle func(net.Conn)) error {
	const first, longest = 5 * time.Millisecond, time.Second
	pause := first
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = first
			go handle(c)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("the listener at %s was closed: %w", l.Addr(), err)
		}
		if pause == first || pause == longest {
			s.logger.Warn("cannot accept connections for now", "address", l.Addr().String(), "error", err,
				"fix", "if these are too many open files, raise the limit (docker run --ulimit nofile=...)")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}

// serveTLS does the handshake and gives the connection to the front of the
// protocol that was agreed on, on another goroutine: this one's stack has grown.
func (s *Server) serveTLS(c net.Conn, fronts map[string]front, altSvc *exchange.Line) {
	if !s.conns.add(c) {
		_ = c.Close()
		return
	}
	defer s.conns.remove(c)
	t, state, err := s.observedHandshake(c)
	if err != nil {
		s.logger.Debug("a client's connection failed", "client", c.RemoteAddr().String(), "error", err)
		return
	}
	protocol := exchange.HTTP11
	if state.NegotiatedProtocol == alpnHTTP2 {
		protocol = exchange.HTTP2
	}
	f, ok := fronts[state.NegotiatedProtocol]
	if !ok { // the challenge, which the handshake has answered
		_ = t.Close()
		return
	}
	info := describe(c, state, protocol)
	wanted := s.handshakes().of(state.ServerName)
	info.ClientAsked = wanted.asks
	if wanted.allows(http3.NextProtoH3) {
		info.AltSvc = altSvc
	}
	go f.ServeConn(t, info)
}

// serve is where every exchange begins.
func (s *Server) serve(ex *exchange.Exchange) {
	ex.OnDone(s)
	ex.Trusted = s.trusted(ex.Conn.Peer())
	if s.cfg.Observer != nil {
		s.cfg.Observer.Begin(ex)
	}
	defer func() {
		if v := recover(); v != nil {
			s.recovered(ex, v)
		}
	}()
	s.route(ex)
	s.checkTunnel(ex)
	if ex.Failure != nil {
		s.logFailure(ex, ex.Response.Status, "", ex.Failure)
	}
	advertise(ex)
	s.clock.stamp(ex)
}

// recovered answers for a handler that panicked.
func (s *Server) recovered(ex *exchange.Exchange, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v) // asked for: cuts the connection off
	}
	s.logPanic(ex, exchange.NewPanicError(v))
	s.fail(ex, page{status: http.StatusInternalServerError, why: "Portway ran into an error of its own."}, nil)
	s.clock.stamp(ex)
}

var _ exchange.DoneFunc = (*Server)(nil)

// Done tells the observer, and says what went wrong after the head of a response was sent.
func (s *Server) Done(ex *exchange.Exchange, sent int64, err error) {
	cause := ex.Canceled()
	if s.cfg.Observer != nil {
		e := observe.Event{Exchange: ex, Sent: sent, Duration: time.Since(ex.Start), Err: err}
		if e.Err == nil {
			e.Err = cause
		}
		s.cfg.Observer.End(e)
	}
	if err == nil && cause == nil {
		return
	}
	if p := (*exchange.PanicError)(nil); errors.As(cause, &p) {
		s.logPanic(ex, p)
		return
	}
	if err == nil || errors.Is(cause, exchange.ErrClientGone) || errors.Is(err, exchange.ErrClientGone) {
		return
	}
	s.logger.LogAttrs(context.Background(), slog.LevelWarn, "a response broke off in the middle",
		append(attributes(ex), slog.Int64("sent", sent), slog.Any("error", err))...)
}

func (s *Server) logPanic(ex *exchange.Exchange, p *exchange.PanicError) {
	s.logger.LogAttrs(context.Background(), slog.LevelError, "panic while serving a request; this is a bug in Portway",
		append(attributes(ex), slog.Any("error", p), slog.String("stack", string(p.Stack)))...)
}
