package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"portway/label"
	"portway/route"
)

// maxFile bounds a static file; a thousand routes have a tenth of it.
const maxFile = 1 << 20

// staticSet is what all static files say together. It is never changed.
type staticSet struct {
	problems []label.Problem // with the folder itself
	files    []staticFile    // by name
	bundles  []route.Bundle
}

// folder watches the static files and keeps the last good version of each.
type folder struct {
	path   string
	parser *route.Parser
	log    *slog.Logger
	limits coalescer

	existed  bool
	files    map[string]*staticFile
	problems []label.Problem // with the folder itself
	watches  watches
}

// staticFile is one file's last good version.
type staticFile struct {
	read bool // at least once
	text []byte
	said
}

func newFolder(path string, p *route.Parser, quiet, maxDelay time.Duration, log *slog.Logger) *folder {
	return &folder{
		path: filepath.Clean(path), parser: p, log: log,
		limits: coalescer{quiet: quiet, max: maxDelay},
		files:  make(map[string]*staticFile), watches: make(watches),
	}
}

// run sends what the files say, at the start and at each change, until ctx is
// done.
func (f *folder) run(ctx context.Context, out chan<- *staticSet) {
	watcher, notes, errs, stop := notifier(f.log)
	defer stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-notes:
			f.limits.touch(time.Now())
		case err := <-errs: // too many at once, so that some were lost
			f.log.Debug("static routes: lost track of changes", "error", err)
			f.limits.touch(time.Now())
		case <-poll.C:
			f.limits.touch(time.Now())
		case now := <-timer.C:
			f.limits.pass(now)
			f.watch(watcher)
			changed := f.scan()
			if f.watch(watcher) {
				f.limits.touch(now) // it may have changed before it was watched
			}
			if first && !f.existed {
				f.log.Debug("static routes: there is no such folder (yet)", "folder", f.path)
			}
			if changed || first {
				first = false
				select {
				case out <- f.set():
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

// scan reads the files again and tells whether anything is different.
func (f *folder) scan() bool {
	entries, err := os.ReadDir(f.path)
	before := f.problems
	f.problems = nil
	switch {
	case errors.Is(err, fs.ErrNotExist) && !f.existed:
		return false // it may come later; nobody needs static routes
	case err != nil:
		f.problems = []label.Problem{{
			Source: "folder " + f.path, Why: "cannot be read (" + oneLine(err) + "), so that its routes stay as they were",
			Fix: "restore the folder and its permissions; an empty one removes the routes",
		}}
		return !slices.Equal(before, f.problems)
	}
	f.existed = true
	changed := len(before) > 0
	there := make(map[string]bool)
	for _, e := range entries {
		name := e.Name()
		if ext := filepath.Ext(name); ext != ".yaml" && ext != ".yml" || strings.HasPrefix(name, ".") {
			continue
		}
		there[name] = true
		if f.files[name] == nil {
			f.files[name] = &staticFile{}
		}
		if f.load(name, f.files[name]) {
			changed = true
		}
	}
	for name := range f.files {
		if !there[name] {
			delete(f.files, name)
			changed = true
		}
	}
	return changed
}

// load reads one file again and tells whether anything is different.
func (f *folder) load(name string, s *staticFile) bool {
	source := filepath.Join(filepath.Base(f.path), name)
	text, err := readFile(filepath.Join(f.path, name))
	if err != nil {
		problems := []lineProblem{{0, label.Problem{
			Source: source, Why: "cannot be read (" + oneLine(err) + "), so that its routes stay as they were",
			Fix: "see to it that it is a file that Portway may read",
		}}}
		changed := !slices.Equal(problems, s.problems)
		s.problems, s.text, s.read = problems, nil, false
		return changed
	}
	if s.read && bytes.Equal(text, s.text) {
		return false
	}
	s.text, s.read = text, true
	said, ok := readText(f.parser, source, "file:"+name, text)
	if ok {
		s.said = said
	} else {
		s.problems = said.problems
	}
	return true
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// Opening a pipe would block.
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return os.ReadFile(path)
}

func (f *folder) set() *staticSet {
	s := &staticSet{problems: slices.Clone(f.problems)}
	names := make([]string, 0, len(f.files))
	for name := range f.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		file := *f.files[name]
		s.files = append(s.files, file)
		s.bundles = append(s.bundles, file.bundles...)
	}
	return s
}

// watch asks for notifications about the folder, and about what a change of
// would not show there: the folder's own link, files that are mounted or linked
// from elsewhere. As long as there is no folder, its nearest parent. It tells
// whether there is anything new to watch.
func (f *folder) watch(w *fsnotify.Watcher) (added bool) {
	paths := []string{nearest(f.path)}
	if link, err := os.Lstat(f.path); err == nil && link.Mode()&fs.ModeSymlink != 0 {
		paths = append(paths, filepath.Dir(f.path))
	}
	for name := range f.files {
		paths = append(paths, filepath.Join(f.path, name))
	}
	return f.watches.set(w, paths)
}
