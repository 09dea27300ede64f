package proxy

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"portway/label"
	"portway/proxy/health"
	"portway/proxy/origintls"
	"portway/proxy/upstream"
	"portway/route"
)

// checks are the active health checks of all tables that are in use. Like replicas
// they outlive tables; what they find out is put into the replica sets of origins,
// so that requests need not ask for it.
type checks struct {
	logger  *slog.Logger
	config  func(route.Upstream, origintls.Options) upstream.Config
	changed func(*health.Checker) // a check has something new

	mu    sync.Mutex
	byKey map[checkKey]*health.Checker
}

// checkKey identifies a check. Routes that check the same replica alike share it.
type checkKey struct {
	replica replicaKey
	options health.Options
	secure  origintls.Options
}

func newChecks(logger *slog.Logger, config func(route.Upstream, origintls.Options) upstream.Config, changed func(*health.Checker)) *checks {
	return &checks{logger: logger, config: config, changed: changed, byKey: make(map[checkKey]*health.Checker)}
}

// of gives the checks of r's upstreams, by their place in r.Upstreams and nil
// where there is none; it begins those that are new. serves tells which replicas
// get requests now.
func (c *checks) of(r *route.Route, serves func(replicaKey) bool) []*health.Checker {
	i := slices.IndexFunc(r.Middleware, func(b label.Binder) bool { _, is := b.(*health.Options); return is })
	if i < 0 {
		return nil
	}
	o := r.Middleware[i].(*health.Options)
	if !o.Enabled() {
		return nil
	}
	host := ""
	if i := slices.IndexFunc(r.Hosts, func(h string) bool { return h[0] != '*' && h[0] != '~' }); i >= 0 { // a name
		host = r.Hosts[i]
	}
	checking, secure := o.WithHost(host), originTLS(r.Middleware)
	list := make([]*health.Checker, len(r.Upstreams))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, u := range r.Upstreams {
		if u.Address == "" || u.State != route.Ready && u.State != route.Starting && u.State != route.Unhealthy {
			continue
		}
		k := checkKey{keyOf(u), checking, secure}
		if c.byKey[k] == nil {
			target := health.Target{Name: u.Name, Upstream: c.config(u, secure), Serves: serves(k.replica)}
			c.byKey[k] = health.Start(checking, target, c.logger, c.changed)
		}
		list[i] = c.byKey[k]
	}
	return list
}

// retain stops all that t does not use.
func (c *checks) retain(t *table) {
	used := make(map[*health.Checker]struct{})
	for _, n := range t.sites {
		for _, checker := range n.checks {
			used[checker] = struct{}{}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, checker := range c.byKey {
		if _, ok := used[checker]; !ok {
			delete(c.byKey, k)
			checker.Stop()
		}
	}
}

// close stops all checks, and waits for that.
func (c *checks) close() {
	c.mu.Lock()
	all := c.byKey
	c.byKey = nil
	c.mu.Unlock()
	for _, checker := range all {
		checker.Stop()
	}
	for _, checker := range all {
		checker.Wait()
	}
}

// firstChecks is how long the first table waits for the first results of its
// checks, so that a restart does not answer with errors before they are there.
const firstChecks = time.Second

// awaitChecks returns when all checks of t have a result, or time is over.
func (t *table) awaitChecks() {
	var over <-chan time.Time
	for _, n := range t.sites {
		for _, checker := range n.checks {
			if checker == nil {
				continue
			}
			if over == nil {
				over = time.After(firstChecks)
			}
			select {
			case <-checker.First():
			case <-over:
				return
			}
		}
	}
}

// upstreams are those of the route as its checks have them: one that does not pass
// is not Ready.
func (n *site) upstreams() []route.Upstream {
	if n.checks == nil {
		return n.route.Upstreams
	}
	list := slices.Clone(n.route.Upstreams)
	for i, checker := range n.checks {
		if checker == nil || list[i].State != route.Ready {
			continue
		}
		state, why := checker.State()
		switch state {
		case health.Unknown:
			list[i].State, list[i].Reason = route.Starting, "it has not passed a health check yet"
		case health.Down:
			list[i].State, list[i].Reason = route.Unhealthy, "its health check fails"
		}
		if why != nil {
			list[i].Reason += ": " + why.Error()
		}
	}
	return list
}

// checked puts what checker has found out into the table in use.
func (s *Server) checked(checker *health.Checker) {
	s.setting.Lock()
	defer s.setting.Unlock()
	t := s.table.Load() // there is one: checks begin when it is made
	for _, n := range t.sites {
		if slices.Contains(n.checks, checker) {
			n.origin.install(s.replicaSet(n, t.used))
		}
	}
}

// Upstreams gives a route's upstreams as they are used now: their State is what
// discovery and health checks have found out together. It is r.Upstreams if r is
// not served yet.
func (s *Server) Upstreams(r *route.Route) []route.Upstream {
	if t := s.table.Load(); t != nil {
		if n := t.byID[r.ID]; n != nil {
			return n.origin.set.Load().upstreams
		}
	}
	return r.Upstreams
}
