// Package health asks replicas regularly whether they work: active health checks
// by HTTP, gRPC (grpc.health.v1) and TCP. Options are the labels of it, and a
// Checker looks after one replica until it is stopped.
//
// Each check opens a connection of its own, by the same code that requests take
// (package upstream), so that what passes is what requests would meet: the same
// scheme, the same TLS, the same time for connecting.
package health

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"portway/proxy/upstream"
)

// State is what checks have found out about a replica.
type State uint8

// The states of a replica.
const (
	Unknown State = iota // no check has passed yet
	Up
	Down
)

// Target is what a Checker checks.
type Target struct {
	Name     string          // for logs
	Upstream upstream.Config // how to reach the replica; time limits are those of the Options
	// Serves says that the replica gets requests already: it begins Up instead of
	// Unknown, and has to fail as often as any other to lose them.
	Serves bool
}

// Checker checks one replica again and again. Its methods may be called from any
// goroutine.
type Checker struct {
	options Options
	target  Target
	logger  *slog.Logger
	changed func(*Checker)
	cancel  context.CancelFunc
	first   chan struct{}
	asked   sync.Once // closes first
	ended   chan struct{}

	mu     sync.Mutex
	state  State
	why    error // what the last check failed with
	streak int   // results in a row that speak against state
}

// Start begins to check at once, on a goroutine of the Checker. changed is called
// by it with the Checker after State has changed, or the reason for not being Up; it may call
// anything but Wait.
func Start(o Options, t Target, logger *slog.Logger, changed func(*Checker)) *Checker {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Checker{
		options: o, target: t, logger: logger.With("upstream", t.Name), changed: changed, cancel: cancel,
		first: make(chan struct{}), ended: make(chan struct{}),
	}
	if t.Serves {
		c.state = Up
	}
	go c.run(ctx)
	return c
}

// State tells what is known, and for a replica that is not Up what the last check
// failed with; nil before the first result.
func (c *Checker) State() (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.why
}

// First is closed when there is a first result, or there will be none.
func (c *Checker) First() <-chan struct{} { return c.first }

// Stop ends the checks without waiting for it.
func (c *Checker) Stop() { c.cancel() }

// Wait returns when the Checker's goroutine has ended, after Stop.
func (c *Checker) Wait() { <-c.ended }

// startUp is the longest time between the checks of a replica that has not passed
// any yet: it is most likely about to.
const startUp = time.Second

func (c *Checker) run(ctx context.Context) {
	defer close(c.ended)
	defer c.asked.Do(func() { close(c.first) })
	for {
		within, cancel := context.WithTimeoutCause(ctx, c.options.timeout, errSlow)
		err := probe(within, &c.options, &c.target)
		cancel()
		if ctx.Err() != nil {
			return
		}
		pause, changed := c.note(err)
		c.asked.Do(func() { close(c.first) })
		if changed {
			c.changed(c)
		}
		// A tenth more or less, so that many replicas are not all asked at once.
		pause += time.Duration((rand.Float64() - 0.5) / 5 * float64(pause))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// note takes a result in. It gives the time until the next check, and whether State
// gives something new.
func (c *Checker) note(err error) (pause time.Duration, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, said := c.state, text(c.why)
	enough := 1
	switch c.state {
	case Up:
		enough = c.options.down
	case Down:
		enough = c.options.up
	}
	if (err == nil) == (c.state == Up) {
		c.streak = 0
	} else if err == nil || c.state == Up {
		c.streak++
	}
	if c.streak >= enough {
		c.streak = 0
		c.state = Up
		if err != nil {
			c.state = Down
		}
	}
	switch {
	case c.state == Up:
		c.why = nil
	case err != nil:
		c.why = err
	}
	c.report(before, said == "", err)
	pause = c.options.interval
	if c.state == Unknown {
		pause = min(pause, startUp)
	}
	return pause, c.state != before || c.state != Up && text(c.why) != said
}

// report logs what is worth it.
func (c *Checker) report(before State, first bool, err error) {
	switch {
	case before == Unknown && c.state == Up:
		c.logger.Info("a replica passes its health check, it gets requests from now on")
	case before == Unknown && first:
		c.logger.Warn("a replica does not pass its health check yet, it gets no requests until it does", "error", err)
	case before == Up && c.state == Down:
		c.logger.Warn("a replica fails its health check, it gets no more requests", "error", err, "failed", c.options.down)
	case before == Down && c.state == Up:
		c.logger.Info("a replica passes its health check again", "passed", c.options.up)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
