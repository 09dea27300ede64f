// Package discovery turns Docker containers and static route files into route
// tables. Watch is one goroutine that owns all state: the engine's event
// stream, inspections and the static folder each run beside it and only send
// it messages.
package discovery

import (
	"context"
	"log/slog"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/system"

	"portway/label"
	"portway/route"
)

// Engine is what discovery needs of a Docker (or Podman) engine: five
// read-only calls, so that a read-only socket proxy suffices.
// *client.Client satisfies it.
type Engine interface {
	Ping(ctx context.Context) (types.Ping, error)
	Info(ctx context.Context) (system.Info, error)
	ContainerList(ctx context.Context, options container.ListOptions) ([]container.Summary, error)
	ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error)
	Events(ctx context.Context, options events.ListOptions) (<-chan events.Message, <-chan error)
}

// Config is what Watch works with.
type Config struct {
	Engine Engine // nil: static files only
	Static string // folder of *.yaml route files; empty: none
	Own    []Own  // static routes of Portway itself
	Logger *slog.Logger

	// Middleware makes the binders, new ones for each route, that read what labels
	// can say beyond route.Options. They end up in route.Route.Middleware. May be nil.
	Middleware func() []label.Binder

	Defaults    label.Values // options for all routes which do not say otherwise; see route.Parser.CheckShared
	DefaultHost HostRule     // host of containers that are to be served and name none
	Only        Constraint   // which containers are ours to look at
	Self        string       // ID of Portway's own container, or its first digits; empty: that is found out
	Places      bool         // there is a database of countries; see route.Parser.WithPlaces

	Quiet    time.Duration // a burst of events is over after this much silence; 0: 100 ms
	MaxDelay time.Duration // a table is emitted at the latest this long after an event; 0: 1 s
}

// Own is a static file that Portway writes itself, for routes of its own.
type Own struct {
	Name string // for people, in Problems and as what routes come from
	Text []byte // as in a file
}

// CheckOwn tells what is wrong with Own, before there is a table. What bundles say for
// them is not known yet.
func (c *Config) CheckOwn() []label.Problem {
	parser := route.NewParser(c.Middleware).WithDefaults(c.Defaults)
	if c.Places {
		parser = parser.WithPlaces()
	}
	var all []label.Problem
	for _, o := range c.Own {
		said, _ := readText(parser, o.Name, "", o.Text)
		for _, p := range said.problems {
			p.Source = o.Name // there are no lines that people know
			all = append(all, p.Problem)
		}
		for _, r := range said.routes {
			if len(r.draft.Uses) == 0 {
				for _, p := range parser.Parse(&r.draft, nil).Problems {
					p.Source = o.Name
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// Watch emits a table at the start, when all sources have been read once, and
// then at each change, until ctx is done; it returns nil then. emit is called
// from one goroutine and must not block.
//
// Static routes never wait for an engine for longer than MaxDelay: if it is slow
// or cannot be reached, they are emitted with a Problem that says so. While the
// engine is away, and while it cannot tell about some container, what is known
// stays. A replica that is told to stop, or dies, is taken out at once.
func Watch(ctx context.Context, cfg Config, emit func(*route.Table)) error {
	w := newWatcher(cfg, emit)
	w.hints = ownIDs()
	if cfg.Self != "" {
		w.hints = []string{cfg.Self}
	}
	return w.run(ctx)
}
