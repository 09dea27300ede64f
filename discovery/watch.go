package discovery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"portway/label"
	"portway/route"
)

// watcher is the state of Watch. Only the goroutine in run touches it.
type watcher struct {
	cfg   Config
	log   *slog.Logger
	emit  func(*route.Table)
	rules *rules
	host  string   // of the engine, for people
	hints []string // what may be the ID of our own container
	ctx   context.Context
	tasks sync.WaitGroup

	entries     map[string]*entry
	groups      map[string]*group
	dirtyGroups map[string]bool
	self        *entry  // our own container; nil if there is none
	outside     vantage // from where Portway looks if it is in no container
	vantage     vantage // from where it looks
	inspections inspections
	retries     map[string]time.Time // containers to be inspected (again), and when

	trouble label.Problem // with the engine; zero if there is none
	old     label.Problem // with the version of the engine; zero if it is new enough
	listed  bool          // all containers are known, if perhaps not yet inspected
	settled bool          // listed, or known to be out of reach
	synced  bool          // all containers have been inspected once

	bundles  *bundles
	secrets  *secretFiles // nil until there is one
	newFiles bool         // that secrets are read from

	own     staticSet            // what Portway says itself
	static  *staticSet           // nil until the folder has been read
	files   map[string]*resolved // its routes, by ID
	serving staticRoutes         // what comes of it
	newSet  bool                 // and nothing has come of it yet

	order     []*groupRoute // routes of containers, who was there first
	unordered bool          // there are others than in order
	ranked    bool          // the order does not depend on age any more
	lastRank  int
	emits     coalescer
	dirty     bool           // something other than groups changed
	emitted   bool           // a table at all
	served    []*route.Route // in the last table
}

func newWatcher(cfg Config, emit func(*route.Table)) *watcher {
	if cfg.Quiet == 0 {
		cfg.Quiet = 100 * time.Millisecond
	}
	if cfg.MaxDelay == 0 {
		cfg.MaxDelay = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	parser := route.NewParser(cfg.Middleware).WithDefaults(cfg.Defaults)
	if cfg.Places {
		parser = parser.WithPlaces()
	}
	w := &watcher{
		cfg: cfg, log: cfg.Logger, emit: emit,
		rules:       &rules{parser: parser, only: cfg.Only, host: cfg.DefaultHost},
		bundles:     newBundles(),
		files:       make(map[string]*resolved),
		host:        hostOf(cfg.Engine),
		entries:     make(map[string]*entry),
		groups:      make(map[string]*group),
		dirtyGroups: make(map[string]bool),
		inspections: inspections{pending: make(map[string]*inspection), done: make(chan *inspection)},
		retries:     make(map[string]time.Time),
		emits:       coalescer{quiet: cfg.Quiet, max: cfg.MaxDelay},
	}
	for _, o := range cfg.Own {
		said, _ := readText(parser, o.Name, "own:"+o.Name, o.Text)
		w.own.files = append(w.own.files, staticFile{read: true, said: said})
		w.own.bundles = append(w.own.bundles, said.bundles...)
	}
	return w
}

func (w *watcher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	w.ctx = ctx
	defer w.tasks.Wait()
	defer cancel()

	var fromEngine chan news
	if w.cfg.Engine != nil {
		fromEngine = make(chan news)
		c := &connection{engine: w.cfg.Engine, log: w.log, out: fromEngine}
		w.tasks.Go(func() { c.run(ctx) })
	} else {
		w.settled, w.synced = true, true
	}
	var fromFiles chan *staticSet
	if w.cfg.Static != "" {
		fromFiles = make(chan *staticSet)
		f := newFolder(w.cfg.Static, w.rules.parser, w.cfg.Quiet, w.cfg.MaxDelay, w.log)
		w.tasks.Go(func() { f.run(ctx, fromFiles) })
	} else {
		w.static, w.newSet = &w.own, true
	}

	w.emits.touch(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(w.pause())
		select {
		case <-ctx.Done():
			return nil
		case n := <-fromEngine:
			w.onNews(n)
		case i := <-w.inspections.done:
			w.onInspected(i)
		case s := <-fromFiles:
			w.onStatic(s)
			w.emits.hurry(time.Now())
		case paths := <-w.secrets.changes():
			w.onSecrets(paths)
		case <-timer.C:
			w.onTime(time.Now())
		}
	}
}

// waiting tells whether something is under way that the next table is to have.
func (w *watcher) waiting() bool {
	if w.static == nil || !w.settled {
		return true
	}
	for _, i := range w.inspections.pending {
		if !i.late {
			return true
		}
	}
	return false
}

// pause returns how long there is nothing to do if nothing happens.
func (w *watcher) pause() time.Duration {
	const long = time.Hour
	now := time.Now()
	next := now.Add(long)
	if at, ok := w.due(now); ok && at.Before(next) {
		next = at
	}
	for _, at := range w.retries {
		if at.Before(next) {
			next = at
		}
	}
	return max(0, next.Sub(now))
}

// due returns when to emit. The first table waits for all there is to read, and
// for nothing else.
func (w *watcher) due(now time.Time) (time.Time, bool) {
	waiting := w.waiting()
	if !w.emitted {
		if !waiting {
			return now, true
		}
		return w.emits.first.Add(w.emits.max), true
	}
	return w.emits.due(waiting)
}

func (w *watcher) onTime(now time.Time) {
	for id, at := range w.retries {
		if now.Before(at) {
			continue
		}
		delete(w.retries, id)
		if e := w.entries[id]; e != nil && w.listed {
			w.inspect(e)
		}
	}
	if at, ok := w.due(now); !ok || now.Before(at) {
		return
	}
	if w.emits.overdue(now) {
		for _, i := range w.inspections.pending {
			i.late = true
		}
	}
	w.publish()
	w.emits.pass(now)
}
