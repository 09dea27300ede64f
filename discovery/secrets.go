package discovery

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// secretFiles watches the files that secrets are read from.
type secretFiles struct {
	log     *slog.Logger
	limits  coalescer
	changed chan []string // paths
	more    chan struct{} // paths are others than before

	mu    sync.Mutex
	paths []string
}

func newSecretFiles(quiet, maxDelay time.Duration, log *slog.Logger) *secretFiles {
	return &secretFiles{
		log: log, limits: coalescer{quiet: quiet, max: maxDelay},
		changed: make(chan []string), more: make(chan struct{}, 1),
	}
}

// changes gives paths of files that changed. f may be nil.
func (f *secretFiles) changes() <-chan []string {
	if f == nil {
		return nil
	}
	return f.changed
}

// set makes the files that are watched these.
func (f *secretFiles) set(paths []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Equal(f.paths, paths) {
		return
	}
	f.paths = paths
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *secretFiles) wanted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.paths
}

// run tells which files changed, until ctx is done.
func (f *secretFiles) run(ctx context.Context) {
	w, notes, errs, stop := notifier(f.log)
	defer stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	have, known := make(watches), make(map[string]os.FileInfo)
	for {
		select {
		case <-ctx.Done():
			return
		case <-notes:
			f.limits.touch(time.Now())
		case err := <-errs: // too many at once, so that some were lost
			f.log.Debug("secrets: lost track of changes", "error", err)
			f.limits.touch(time.Now())
		case <-f.more:
			f.limits.touch(time.Now())
		case <-poll.C:
			f.limits.touch(time.Now())
		case now := <-timer.C:
			f.limits.pass(now)
			paths := f.wanted()
			if have.set(w, around(paths)) {
				f.limits.touch(now) // it may have changed before it was watched
			}
			if changed := compare(known, paths, now); len(changed) > 0 {
				select {
				case f.changed <- changed:
				case <-ctx.Done():
					return
				}
			}
		}
		if at, ok := f.limits.due(false); ok {
			timer.Reset(max(0, time.Until(at)))
		}
	}
}

// around adds the folders, where files are replaced.
func around(paths []string) []string {
	all := slices.Clone(paths)
	for _, p := range paths {
		all = append(all, nearest(filepath.Dir(p)))
	}
	return all
}

// compare tells which files are others than known, and brings that up to date. One
// that is new there counts as changed if it may have been read before it was last
// written.
func compare(known map[string]os.FileInfo, paths []string, now time.Time) (changed []string) {
	const recently = 5 * time.Second
	maps.DeleteFunc(known, func(path string, _ os.FileInfo) bool { return !slices.Contains(paths, path) })
	for _, path := range paths {
		info, _ := os.Stat(path) // nil if it is not there
		before, old := known[path]
		known[path] = info
		switch {
		case !old:
			if info != nil && now.Sub(info.ModTime()) < recently {
				changed = append(changed, path)
			}
		case (info == nil) != (before == nil),
			info != nil && (!os.SameFile(info, before) || info.Size() != before.Size() || !info.ModTime().Equal(before.ModTime())):
			changed = append(changed, path)
		}
	}
	return changed
}

// watchSecrets has the files watched that any route's secrets are in.
func (w *watcher) watchSecrets() {
	if !w.newFiles {
		return
	}
	w.newFiles = false
	all := make(map[string]bool)
	for _, e := range w.entries {
		for i := range e.routes {
			for _, path := range e.routes[i].Files {
				all[path] = true
			}
		}
	}
	for _, r := range w.files {
		for _, path := range r.files {
			all[path] = true
		}
	}
	if w.secrets == nil {
		w.secrets = newSecretFiles(w.cfg.Quiet, w.cfg.MaxDelay, w.log)
		w.tasks.Go(func() { w.secrets.run(w.ctx) })
	}
	w.secrets.set(slices.Sorted(maps.Keys(all)))
}

// onSecrets has the routes made anew whose secrets are in files that changed.
func (w *watcher) onSecrets(paths []string) {
	w.log.Info("files of secrets changed; routes that use them are made anew", "files", paths)
	named := func(files []string) bool {
		return slices.ContainsFunc(files, func(f string) bool { return slices.Contains(paths, f) })
	}
	for _, e := range w.entries {
		for i := range e.routes {
			if named(e.routes[i].Files) {
				s := *e.snap
				s.routes = nil // what was read then
				e.snap, e.parsed = &s, nil
				w.changed(e)
				break
			}
		}
	}
	for _, r := range w.files {
		if named(r.files) {
			r.stale, w.newSet = true, true
		}
	}
	w.emits.touch(time.Now())
}
