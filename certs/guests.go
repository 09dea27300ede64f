package certs

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds for hosts that are not known beforehand, since strangers decide which names
// they send.
const (
	maxGuests     = 50_000           // that have a certificate at once
	maxRefused    = 10_000           // that are remembered to be refused
	refusedFor    = time.Minute      // before somebody is asked again
	hopelessFor   = time.Hour        // after failures, as where the DNS points elsewhere
	guestPatience = 3                // failures before a host is dropped
	maxQuestions  = 16               // at once
	guestEvery    = 3 * time.Second  // new ones, on average
	guestBurst    = 20               // new ones at once
	guestWait     = 10 * time.Second // of the first visitor, for the certificate
	guestIdle     = 30 * 24 * time.Hour
)

// guests are the hosts that a rule has admitted.
type guests struct {
	client *http.Client

	mu      sync.Mutex
	refused map[string]time.Time // until when
	asked   map[string]chan struct{}
	rate    bucket
	tell    rarely
}

func newGuests() *guests {
	return &guests{
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		refused: make(map[string]time.Time),
		asked:   make(map[string]chan struct{}),
		rate:    bucket{every: guestEvery, burst: guestBurst},
	}
}

// demand returns the entry for a host that is not known, if a rule admits it; nil if
// none does. One handshake asks for a host, the others for it wait.
func (m *Manager) demand(ctx context.Context, all *names, host string) *entry {
	r := all.rule(host)
	if r == nil || !plausible(host) {
		return nil
	}
	if ctx == nil { // hello was made by hand, not by crypto/tls
		ctx = context.Background()
	}
	g := m.guests
	now := time.Now()
	g.mu.Lock()
	if now.Before(g.refused[host]) {
		g.mu.Unlock()
		return nil
	}
	done, asking := g.asked[host]
	if !asking {
		if e := m.names.Load().find(host); e != nil { // somebody has asked since all was looked at
			g.mu.Unlock()
			return e
		}
		if len(g.asked) >= maxQuestions {
			g.mu.Unlock()
			g.tell.warn(m.log, now, "Too many hosts that are not known at once; one is refused.", "name", host)
			return nil
		}
		done = make(chan struct{})
		g.asked[host] = done
	}
	g.mu.Unlock()
	if asking {
		select {
		case <-done:
		case <-ctx.Done():
		}
		return m.names.Load().find(host)
	}
	defer func() {
		g.mu.Lock()
		delete(g.asked, host)
		g.mu.Unlock()
		close(done)
	}()
	// Others wait for the same answer, and a refusal is remembered: it is not for the first
	// visitor alone, who may go away.
	if !m.admit(context.WithoutCancel(ctx), r, host) {
		return nil
	}
	return m.addGuest(host, r)
}

// admit decides about a new host.
func (m *Manager) admit(ctx context.Context, r *rule, host string) bool {
	ok, err := r.permits(ctx, m.guests.client, host)
	now := time.Now()
	switch {
	case err != nil:
		m.guests.tell.warn(m.log, now, "Whether a host may have a certificate cannot be asked; it has none.", "name", host, "error", err)
	case !ok:
		m.log.Debug("A host may not have a certificate.", "name", host)
	case len(m.names.Load().exact) >= maxGuests:
		m.guests.tell.warn(m.log, now, "There are too many hosts on demand; another one is refused.", "name", host, "most", maxGuests)
	default:
		if m.isStored(ctx, host, r.wishes) {
			return true // it costs no order
		}
		m.guests.mu.Lock()
		defer m.guests.mu.Unlock()
		if m.guests.rate.take(now) {
			return true
		}
		m.guests.tell.warn(m.log, now, "New hosts come too fast; one is refused for now.", "name", host)
		return false
	}
	m.guests.refuse(host, now.Add(refusedFor))
	return false
}

// refuse remembers that host has no certificate until then.
func (g *guests) refuse(host string, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.refused) >= maxRefused {
		now := time.Now()
		maps.DeleteFunc(g.refused, func(_ string, until time.Time) bool { return !now.Before(until) })
		if len(g.refused) >= maxRefused {
			clear(g.refused)
		}
	}
	g.refused[host] = until
}

// addGuest makes host one of the names.
func (m *Manager) addGuest(host string, r *rule) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.names.Load()
	if e := old.exact[host]; e != nil {
		return e
	}
	if m.running == nil || m.ended || old.rule(host) != r { // rules have changed meanwhile
		return nil
	}
	e := m.newEntry(host, r.wishes)
	if e.kind == refused {
		return nil
	}
	e.rule.Store(r)
	e.visited.Store(time.Now().Unix())
	now := old.with(e)
	arrange(now)
	m.names.Store(now)
	m.log.Info("A host is admitted on demand.", "name", host)
	m.start(e)
	return e
}

// dropGuest forgets e, which is refused until then.
func (m *Manager) dropGuest(e *entry, until time.Time, why string) {
	m.guests.refuse(e.name, until)
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.names.Load()
	if old.exact[e.name] != e {
		return
	}
	m.log.Info("A host has no certificate on demand any more.", "name", e.name, "reason", why, "again", until.Round(time.Second))
	m.names.Store(old.without(e))
	e.cancel()
}

// isRule tells whether n stands for hosts that are not known beforehand.
func isRule(n Name) bool {
	return strings.HasPrefix(n.Name, patternName) || strings.HasPrefix(n.Name, "*.") && n.OnDemand != (OnDemand{})
}

// addRule adds what n says, if it says who may have a certificate.
func (m *Manager) addRule(rules []*rule, n Name) []*rule {
	if n.OnDemand == (OnDemand{}) {
		return rules
	}
	r, err := newRule(n)
	if err != nil {
		m.log.Warn("Hosts get no certificates on demand.", "hosts", n.Name, "error", err)
		return rules
	}
	return append(rules, r)
}

// keepRules takes those of old that say the same, so that what they are doing is
// not in vain.
func keepRules(rules, old []*rule) []*rule {
	for i, r := range rules {
		if same := slices.IndexFunc(old, func(o *rule) bool { return o.name == r.name }); same >= 0 {
			rules[i] = old[same]
		}
	}
	return rules
}

// keepGuests adds to the entries that are wanted those that were admitted by rules
// which are still there.
func keepGuests(wanted map[string]*entry, old *names, rules []*rule) {
	for name, e := range old.exact {
		if e.rule.Load() == nil || wanted[name] != nil {
			continue
		}
		for _, r := range rules {
			if r.covers(name) && r.wishes == e.wishes {
				e.rule.Store(r)
				wanted[name] = e
				break
			}
		}
	}
}

// with returns names that have e too.
func (n *names) with(e *entry) *names {
	more := *n
	more.exact = maps.Clone(n.exact)
	more.exact[e.name] = e
	return &more
}

// without returns names that do not have e.
func (n *names) without(e *entry) *names {
	fewer := *n
	fewer.exact = maps.Clone(n.exact)
	delete(fewer.exact, e.name)
	return &fewer
}

// rule returns the first rule that covers host, or nil.
func (n *names) rule(host string) *rule {
	i := slices.IndexFunc(n.rules, func(r *rule) bool { return r.covers(host) })
	if i < 0 {
		return nil
	}
	return n.rules[i]
}

// isStored tells whether an earlier run left a certificate for host.
func (m *Manager) isStored(ctx context.Context, host string, wishes Wishes) bool {
	chain, err := m.chain(host, wishes)
	return err == nil && newest(ctx, m.storage, chain, host, func(*authority, error) {}) != nil
}

// allowed asks again whether a guest may have a certificate, before a new one. If
// it may not, or nobody knows, there is nothing to do now.
func (k *keeper) allowed(ctx context.Context) bool {
	r := k.entry.rule.Load()
	if r == nil || k.cert == nil {
		return true
	}
	now := time.Now()
	if idle := now.Sub(time.Unix(k.entry.visited.Load(), 0)); idle > guestIdle {
		k.dropGuest(k.entry, now, "nobody visits it")
		return false
	}
	ok, err := r.permits(ctx, k.guests.client, k.entry.name)
	switch {
	case err != nil:
		k.next = now.Add(k.timing.check)
		k.log.Warn("Whether a host may still have a certificate cannot be asked; it is not renewed for now.", "name", k.entry.name, "error", err)
		return false
	case !ok:
		k.dropGuest(k.entry, now.Add(refusedFor), "it is not allowed any more")
		return false
	default:
		return true
	}
}

// giveUp drops a guest for which no certificate can be had.
func (k *keeper) giveUp() {
	if k.entry.rule.Load() != nil && k.entry.cert.Load() == nil && max(k.attempts(), k.looks) >= guestPatience {
		k.dropGuest(k.entry, latest(time.Now().Add(hopelessFor), k.next), "no certificate could be obtained")
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// awaitGuest has the first visitors of a guest wait for its certificate.
func awaitGuest(ctx context.Context, e *entry) {
	if e.rule.Load() == nil {
		return
	}
	if ctx == nil {
		ctx = context.Background()
	}
	timer := time.NewTimer(guestWait)
	defer timer.Stop()
	select {
	case <-e.settled:
	case <-timer.C:
	case <-ctx.Done():
	}
}
