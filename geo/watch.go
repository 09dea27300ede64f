package geo

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Run takes over new versions of the file until ctx is done. A file is read once it
// has been as it is for half a second. What brings no notification (network file
// systems, a link that is far from the file) is found within half a minute.
func (d *Database) Run(ctx context.Context) error {
	var notes <-chan fsnotify.Event
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		d.logger.Warn("no notifications about a new database of countries, looking every "+d.poll.String()+" instead", "error", err)
	} else {
		defer func() { _ = watcher.Close() }()
		notes = watcher.Events
		go func() {
			for range watcher.Errors { // polling makes up for what was lost
			}
		}()
	}
	poll := time.NewTicker(d.poll)
	defer poll.Stop()
	settle := time.NewTimer(0) // it may have changed since Open
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-notes:
			if !ok {
				notes = nil
			}
			d.noticed(settle)
		case <-poll.C:
			d.watch(watcher)
			d.noticed(settle)
		case <-settle.C:
			d.watch(watcher)
			before := d.seen
			switch {
			case !d.look():
			case same(before, d.seen):
				d.load()
			default:
				settle.Reset(d.quiet)
			}
		}
	}
}

// noticed looks again, and has the file read later, if it is a new one.
func (d *Database) noticed(settle *time.Timer) {
	if d.look() {
		settle.Reset(d.quiet)
	}
}

// watch asks for notifications about the folders in which the file, and the file
// behind a link, is put. It is asked for again each time, as folders are replaced.
func (d *Database) watch(w *fsnotify.Watcher) {
	if w == nil {
		return
	}
	wanted := map[string]bool{filepath.Dir(d.path): true}
	if target, err := filepath.EvalSymlinks(d.path); err == nil {
		wanted[filepath.Dir(target)] = true
		wanted[target] = true // a file that is mounted alone is written over
	}
	for _, old := range w.WatchList() {
		if !wanted[old] {
			_ = w.Remove(old)
		}
	}
	for path := range wanted {
		_ = w.Add(path)
	}
}
