package discovery

import (
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pollEvery finds changes that no notification came for: network file systems
// and Docker Desktop's shared folders have none.
const pollEvery = 30 * time.Second

// notifier makes what tells about changed files. Without it, all that is left is to
// look every pollEvery.
func notifier(log *slog.Logger) (w *fsnotify.Watcher, events <-chan fsnotify.Event, errs <-chan error, stop func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no notifications about changed files, looking every "+pollEvery.String()+" instead", "error", err)
		return nil, nil, nil, func() {}
	}
	return w, w.Events, w.Errors, func() { _ = w.Close() }
}

// watches are the paths that notifications come for, with what was there.
type watches map[string]os.FileInfo

// set makes them these, those of them that exist. It tells whether there is anything
// new to watch. w may be nil.
func (have watches) set(w *fsnotify.Watcher, paths []string) (added bool) {
	if w == nil {
		return false
	}
	wanted := make(map[string]os.FileInfo)
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			wanted[path] = info
		}
	}
	for path, info := range have {
		// A watch is for what was at the path, not for the path.
		if now := wanted[path]; now == nil || !os.SameFile(now, info) {
			_ = w.Remove(path)
			delete(have, path)
		}
	}
	for path, info := range wanted {
		if have[path] == nil && w.Add(path) == nil {
			have[path] = info
			added = true
		}
	}
	return added
}

// nearest gives path, or the nearest folder above it that exists.
func nearest(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}
