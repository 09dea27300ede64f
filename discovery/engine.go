package discovery

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/system"
)

// How long calls may take, and how often things are tried.
const (
	pingLimit  = 5 * time.Second
	listLimit  = 30 * time.Second
	pingEvery  = 30 * time.Second // finds an engine that hangs
	listEvery  = 5 * time.Minute  // finds what an event was lost for: engines drop events that are read too slowly
	retryFirst = 200 * time.Millisecond
	retryLimit = 10 * time.Second
)

// news is what a connection tells Watch: one of the first four fields is set.
type news struct {
	connected *greeting
	list      []container.Summary // not nil, but perhaps empty
	event     *events.Message
	lost      error
	brief     bool // lost after a good while, and not yet in vain tried again
}

// greeting is what an engine says about itself.
type greeting struct {
	info *system.Info
	api  string // version of its API; empty if it does not say
}

// connection subscribes to the engine's events and lists its containers, again
// and again if need be.
type connection struct {
	engine Engine
	log    *slog.Logger
	out    chan<- news
}

// run goes on until ctx is done.
func (c *connection) run(ctx context.Context) {
	for failures := 1; ; failures++ {
		began := time.Now()
		err := c.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > pingEvery {
			failures = 1
		}
		wait := backoff(failures, retryFirst, retryLimit)
		// Socket proxies end streams that are idle for long: nothing to worry about.
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		brief := ended && time.Since(began) > pingEvery
		if brief {
			failures, wait = 0, 0
		}
		c.send(ctx, news{lost: err, brief: brief})
		c.log.Debug("Docker engine: will try again", "in", wait, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (c *connection) send(ctx context.Context, n news) {
	select {
	case c.out <- n:
	case <-ctx.Done():
	}
}

// session returns when the engine is lost, and why.
func (c *connection) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	said, err := c.greet(ctx)
	if err != nil {
		return err
	}
	// First the events, then the list: what happens in between is in both.
	messages, errs, err := c.subscribe(ctx)
	if err != nil {
		return err
	}
	c.send(ctx, news{connected: said})

	type listing struct {
		list []container.Summary
		err  error
	}
	lists, pings := make(chan listing, 1), make(chan error, 1)
	list := func() {
		l, err := c.list(ctx)
		lists <- listing{l, err}
	}
	go list()
	pinger, lister := time.NewTicker(pingEvery), time.NewTicker(listEvery)
	defer pinger.Stop()
	defer lister.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-messages:
			c.send(ctx, news{event: &m})
		case err := <-errs:
			if err == nil {
				err = io.EOF // the channel was closed
			}
			return err
		case l := <-lists:
			if l.err != nil {
				return l.err
			}
			c.send(ctx, news{list: l.list})
		case <-lister.C:
			go list()
		case <-pinger.C:
			go func() {
				_, err := c.ping(ctx)
				pings <- err
			}()
		case err := <-pings:
			if err != nil {
				return err
			}
		}
	}
}

// greet finds out whom it speaks to.
func (c *connection) greet(ctx context.Context) (*greeting, error) {
	ping, err := c.ping(ctx)
	if err != nil {
		return nil, err
	}
	// An engine may come back as an older one.
	if n, ok := c.engine.(interface{ NegotiateAPIVersionPing(types.Ping) }); ok {
		n.NegotiateAPIVersionPing(ping)
	}
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	info, err := c.engine.Info(ctx)
	if err != nil {
		// Only nice to have; a socket proxy may well refuse it.
		c.log.Debug("Docker engine: no information about it", "error", err)
		info = system.Info{}
	}
	return &greeting{&info, ping.APIVersion}, nil
}

func (c *connection) ping(ctx context.Context) (types.Ping, error) {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	return c.engine.Ping(ctx)
}

func (c *connection) list(ctx context.Context) ([]container.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	list, err := c.engine.ContainerList(ctx, container.ListOptions{All: true})
	if err == nil && list == nil {
		list = []container.Summary{}
	}
	return list, err
}

// subscribe returns once the engine has begun to send events, whose stream ends
// with ctx.
func (c *connection) subscribe(ctx context.Context) (<-chan events.Message, <-chan error, error) {
	// Only these: each health check of each container makes three more events. An
	// engine takes the names as beginnings; "died" is Podman's for die.
	args := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("type", string(events.NetworkEventType)))
	for _, a := range []events.Action{
		events.ActionCreate, events.ActionStart, events.ActionDie, "died", events.ActionKill, events.ActionStop,
		events.ActionPause, events.ActionUnPause, events.ActionHealthStatus, events.ActionRename,
		events.ActionDestroy, events.ActionRemove, events.ActionConnect, events.ActionDisconnect,
	} {
		args.Add("event", string(a))
	}
	// Events has no limit of its own, and its context must live on.
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(pingLimit, func() { cancel(context.DeadlineExceeded) })
	messages, errs := c.engine.Events(ctx, events.ListOptions{Filters: args})
	if !timer.Stop() {
		return nil, nil, context.Cause(ctx)
	}
	select {
	case err := <-errs:
		cancel(err)
		return nil, nil, errors.Join(err)
	default:
		return messages, errs, nil
	}
}
