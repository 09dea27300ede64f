package discovery

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
)

// onNews takes in what the connection to the engine tells.
func (w *watcher) onNews(n news) {
	switch {
	case n.connected != nil:
		w.onConnected(n.connected)
	case n.list != nil:
		w.onList(n.list)
	case n.event != nil:
		w.onEvent(*n.event)
	case n.lost != nil:
		w.onLost(n.lost, n.brief)
	}
}

func (w *watcher) onConnected(said *greeting) {
	info := said.info
	w.old = tooOld(w.host, said.api)
	w.log.Info("connected to the Docker engine", "host", w.host, "version", info.ServerVersion)
	w.inspections.ctx, w.inspections.cancel = context.WithCancel(w.ctx)
	remote := remoteHost(w.host)
	rootless := slices.Contains(info.SecurityOptions, "name=rootless")
	w.outside = vantage{remote: remote, published: remote != "" || rootless || info.OperatingSystem == "Docker Desktop"}
}

// remoteHost returns the engine's host if that is not this machine.
func remoteHost(host string) string {
	scheme, addr, _ := strings.Cut(host, "://")
	if scheme != "tcp" {
		return ""
	}
	addr, _, _ = strings.Cut(addr, "/")
	if name, _, err := net.SplitHostPort(addr); err == nil {
		addr = name
	}
	if ip, err := netip.ParseAddr(addr); addr == "localhost" || err == nil && ip.IsLoopback() {
		return ""
	}
	return addr
}

// onList compares what there is with what is known, and has inspected what
// differs.
func (w *watcher) onList(list []container.Summary) {
	w.settled, w.listed = true, true
	if w.trouble != w.old {
		w.trouble, w.dirty = w.old, true
	}
	w.emits.touch(time.Now())
	w.findSelf(list)
	there := make(map[string]bool, len(list))
	for _, s := range list {
		there[s.ID] = true
		e := w.entries[s.ID]
		if e == nil {
			if !w.ours(s.Labels) {
				continue
			}
			e = w.add(s.ID, nameOf(s))
		}
		if e.snap == nil || e.stale || e.stopping != nil || e.snap.mark != listed(s) {
			w.inspect(e)
		}
	}
	for id, e := range w.entries {
		if !there[id] {
			// Gone, or so new that the list does not have it: an inspection tells.
			w.inspect(e)
		}
	}
}

// findSelf looks for our own container among all.
func (w *watcher) findSelf(list []container.Summary) {
	if w.self != nil {
		return
	}
	for _, hint := range w.hints {
		for _, s := range list {
			if !strings.HasPrefix(s.ID, hint) {
				continue
			}
			e := w.entries[s.ID]
			if e == nil {
				e = w.add(s.ID, nameOf(s))
				w.inspect(e)
			}
			e.pinned = true
			w.self = e
			return
		}
	}
}

// onLost keeps all that is known, and remembers what was being found out.
func (w *watcher) onLost(err error, brief bool) {
	w.listed, w.settled = false, true
	if w.inspections.cancel != nil {
		w.inspections.cancel()
		w.inspections.ctx = nil
	}
	for id := range w.inspections.pending {
		if e := w.entries[id]; e != nil {
			e.stale = true
		}
	}
	clear(w.inspections.pending)
	w.inspections.queue = nil
	if t := engineTrouble(w.host, err); t != w.trouble && !brief {
		w.trouble, w.dirty = t, true
	}
	w.emits.touch(time.Now())
}
