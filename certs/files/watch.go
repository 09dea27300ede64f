package files

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Run takes over what changes in the folder until ctx is done, and calls changed after
// each change. It warns of certificates that end soon. Files are read once they have
// been as they are for a moment. What brings no notification (network file systems) is
// found within half a minute.
func (f *Folder) Run(ctx context.Context, changed func()) error {
	f.changed = changed
	var notes <-chan fsnotify.Event
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		f.logger.Warn("No notifications about new certificates in files, looking every "+f.poll.String()+" instead.", "error", err)
	} else {
		defer func() { _ = watcher.Close() }()
		notes = watcher.Events
		go func() {
			for range watcher.Errors { // polling makes up for what was lost
			}
		}()
	}
	poll := time.NewTicker(f.poll)
	defer poll.Stop()
	settle := time.NewTimer(0) // something may have changed since Open
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-notes:
			if !ok {
				notes = nil
			}
			if f.look() {
				settle.Reset(f.quiet)
			}
		case <-poll.C:
			f.watch(watcher)
			if f.look() {
				settle.Reset(f.quiet)
			}
			f.warn()
		case <-settle.C:
			f.watch(watcher)
			switch {
			case f.look(): // not quiet yet
				settle.Reset(f.quiet)
			case !slices.Equal(f.seen, f.read):
				f.load()
				f.changed()
			}
			f.warn()
		}
	}
}

// look tells whether something has changed since it was last called.
func (f *Folder) look() bool {
	paths, err := list(f.path)
	now := make([]string, 0, len(paths)+1)
	if err != nil {
		now = append(now, err.Error())
	}
	for _, path := range paths {
		// A link that leads elsewhere by now is a change, even to a file of the same age.
		target, _ := filepath.EvalSymlinks(path)
		line := path + "\x00" + target
		if info, err := os.Stat(path); err == nil {
			line += fmt.Sprintf("\x00%d\x00%d\x00%v", info.Size(), info.ModTime().UnixNano(), info.Mode())
		}
		now = append(now, line)
	}
	if slices.Equal(now, f.seen) {
		return false
	}
	f.seen = now
	return true
}

// watch asks for notifications about all folders in which files, or those behind
// links, are put.
func (f *Folder) watch(w *fsnotify.Watcher) {
	if w == nil {
		return
	}
	wanted := map[string]bool{f.path: true}
	paths, _ := list(f.path)
	for _, path := range paths {
		for dir := filepath.Dir(path); len(dir) > len(f.path); dir = filepath.Dir(dir) {
			wanted[dir] = true
		}
		if target, err := filepath.EvalSymlinks(path); err == nil {
			wanted[filepath.Dir(target)] = true
		}
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

// load reads all files. A certificate that was good before stays while its file is
// there.
func (f *Folder) load() {
	f.read = f.seen
	old := f.set.Load()
	paths, err := list(f.path)
	if err != nil {
		p := explain(f.path, err)
		if os.IsNotExist(err) {
			p = Problem{f.path, "the folder is not there", "make it, or mount it"}
		}
		f.replace(newSet(slices.Clone(old.all), []Problem{p}))
		return
	}
	var contents []*content
	var problems []Problem
	for _, path := range paths {
		c, err := readFile(path, f.password)
		switch {
		case err != nil:
			problems = append(problems, explain(path, err))
		case c != nil:
			contents = append(contents, c)
		}
	}
	certs, more := pair(contents)
	problems = append(problems, more...)
	for _, before := range old.all {
		here := func(c *Certificate) bool { return c.Path == before.Path }
		if !slices.Contains(paths, before.Path) || slices.ContainsFunc(certs, here) {
			continue
		}
		kept := *before
		kept.Broken = "it holds no certificate with a key any more"
		for _, p := range problems {
			if p.Path == kept.Path {
				kept.Broken = p.Why + "; " + p.Fix
			}
		}
		certs = append(certs, &kept)
	}
	f.replace(newSet(certs, problems))
}

// replace puts s in place of what was there, and tells what is new about it.
func (f *Folder) replace(s *set) {
	old := f.set.Swap(s)
	for _, p := range s.problems {
		if !slices.Contains(old.problems, p) {
			f.logger.Warn("A file in the folder of certificates cannot be used.", "file", p.Path, "reason", p.Why, "fix", p.Fix)
		}
	}
	for _, c := range s.all {
		same := func(o *Certificate) bool {
			return o.Path == c.Path && o.TLS.Leaf.Equal(c.TLS.Leaf) && o.Broken == c.Broken
		}
		switch {
		case slices.ContainsFunc(old.all, same):
		case c.Broken != "":
			f.logger.Warn("The certificate that was in this file before is still served.", "file", c.Path, "reason", c.Broken, "expires", c.TLS.Leaf.NotAfter)
		default:
			f.logger.Info("Using a certificate from a file.", "file", c.Path, "names", Names(c.TLS.Leaf), "expires", c.TLS.Leaf.NotAfter)
		}
	}
	for _, o := range old.all {
		if !slices.ContainsFunc(s.all, func(c *Certificate) bool { return c.Path == o.Path }) {
			f.logger.Info("A certificate's file is gone.", "file", o.Path, "names", Names(o.TLS.Leaf))
		}
	}
}

const (
	soon      = 14 * 24 * time.Hour
	warnEvery = 24 * time.Hour
)

// EndsSoon tells whether it is time to replace the certificate: two weeks before its
// end, or, for a short-lived one, when a third of its time is left.
func (c *Certificate) EndsSoon() bool {
	leaf := c.TLS.Leaf
	return time.Until(leaf.NotAfter) < min(soon, leaf.NotAfter.Sub(leaf.NotBefore)/3)
}

// warn tells, once a day, which certificates end soon and have no follower.
func (f *Folder) warn() {
	s := f.set.Load()
	for _, c := range s.all {
		if !c.EndsSoon() || time.Since(f.warned[c.Path]) < warnEvery || !s.best(c) {
			continue
		}
		f.warned[c.Path] = time.Now()
		what := "A certificate from a file ends soon."
		if expired(c) {
			what = "A certificate from a file has ended; visitors are warned of it."
		}
		f.logger.Warn(what, "file", c.Path, "names", Names(c.TLS.Leaf), "expires", c.TLS.Leaf.NotAfter, "fix", "replace the file; Portway notices by itself")
	}
}

// best tells whether c is the one that is served for any of its names.
func (s *set) best(c *Certificate) bool {
	return slices.ContainsFunc(Names(c.TLS.Leaf), func(name string) bool { return s.exact[name][0] == c })
}
