package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"portway/proxy/exchange"
	"portway/proxy/upstream"
)

// errSlow is the cause of a check's end when its time is over.
var errSlow = errors.New("out of time")

// userAgent tells application logs who asks.
const userAgent = "Portway health check"

// probe checks a replica once; nil means that it passed.
func probe(ctx context.Context, o *Options, t *Target) error {
	cfg := t.Upstream
	cfg.DialTimeout, cfg.FirstByte, cfg.Idle = o.timeout, -1, -1 // ctx is the limit
	if o.port != 0 && cfg.Network != "unix" {
		host, _, err := net.SplitHostPort(cfg.Address)
		if err != nil {
			host = cfg.Address
		}
		cfg.Address = net.JoinHostPort(host, strconv.Itoa(o.port))
	}
	var err error
	what := ""
	switch o.kind {
	case TCP:
		what, err = "connect to "+cfg.Address, connect(ctx, &cfg)
	case GRPC:
		what, err = "grpc.health.v1 at "+cfg.Address, askGRPC(ctx, o, cfg)
	default:
		what, err = "GET "+o.path+" at "+cfg.Address, get(ctx, o, cfg)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errSlow):
		return fmt.Errorf("%s: no answer within %v (health.timeout)", what, o.timeout)
	case errors.Is(err, upstream.ErrDial): // says so at length
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// connect passes if a connection can be made.
func connect(ctx context.Context, cfg *upstream.Config) error {
	dial := cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := dial(ctx, cfg.Network, cfg.Address)
	if err != nil {
		if op := (*net.OpError)(nil); errors.As(err, &op) {
			err = op.Err // the rest of it has been said
		}
		return err
	}
	return c.Close()
}

// get passes if GET gives one of the wanted status codes.
func get(ctx context.Context, o *Options, cfg upstream.Config) error {
	return roundTrip(ctx, cfg, func(q *exchange.Request) {
		path, query, hasQuery := strings.Cut(o.path, "?")
		q.Method, q.Path, q.Query, q.HasQuery = []byte(http.MethodGet), []byte(path), []byte(query), hasQuery
		q.Authority = []byte(hostFor(o, &cfg))
		q.Fields.AddString("User-Agent", userAgent)
		q.Fields.AddString("Accept", "*/*")
	}, func(ex *exchange.Exchange) error {
		if code := ex.Response.Status; !o.status.has(code) {
			return fmt.Errorf("the answer is %d %s, and not %v", code, http.StatusText(code), o.status)
		}
		return nil
	})
}

func hostFor(o *Options, cfg *upstream.Config) string {
	switch {
	case o.host != "":
		return o.host
	case cfg.Network == "unix":
		return "localhost"
	}
	return cfg.Address
}

// roundTrip has fill write a request, sends it over a connection of its own, and
// has judge read the answer.
func roundTrip(ctx context.Context, cfg upstream.Config, fill func(*exchange.Request), judge func(*exchange.Exchange) error) error {
	pool := upstream.NewPool(cfg)
	defer pool.Close()
	ex := exchange.Get()
	ex.Conn, ex.Start = new(exchange.Conn), time.Now()
	fill(&ex.Request)
	canceled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(canceled)
		ex.Cancel(context.Cause(ctx))
	})
	err := pool.RoundTrip(ex)
	if err == nil {
		err = judge(ex)
	}
	if !stop() {
		<-canceled // nothing may touch ex after Finish
	}
	ex.Finish(0, err)
	exchange.Put(ex)
	return err
}

// readAll reads an answer's content, which may not be longer than limit.
func readAll(ex *exchange.Exchange, limit int64) ([]byte, error) {
	if ex.Response.Body == nil {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(ex.Response.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	return b, err
}
