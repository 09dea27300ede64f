package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"portway/proxy/cache/disk"
)

// tier is what is stored on disk: nearly all that was stored in memory, which is where
// it is looked for first. What is small comes back to memory when it is asked for; what
// is large is only known there, and read from the disk each time.
type tier struct {
	cache *Cache
	store atomic.Pointer[disk.Store] // nil: not there, or not yet
	loads singleflight.Group         // by key

	// swept is how many purges all that is on disk has been held against.
	swept    atomic.Uint64
	sweeping sync.Mutex

	// While another process has the folder, what would have changed on disk is noted, so
	// that nothing outdated comes back; missed is nil if that is too much.
	mu     sync.Mutex
	missed map[disk.ID]struct{}
	end    context.CancelFunc
	wait   sync.WaitGroup
}

// maxMissed bounds what is noted. With more, the folder is emptied.
const maxMissed = 10_000

// openTier takes the folder, or waits for it: a predecessor may still be using it. It
// returns nil if there is to be no tier. Whatever is wrong with the disk, it is not worth
// to serve nothing.
func openTier(c *Cache) *tier {
	if c.cfg.Disk == 0 {
		return nil
	}
	t := &tier{cache: c, missed: make(map[disk.ID]struct{}), end: func() {}}
	s, err := t.open()
	switch {
	case err == nil:
		t.store.Store(s)
	case errors.Is(err, disk.ErrLocked):
		c.cfg.Logger.Info("another process uses the cache's folder; it is taken when that one ends", slog.String("folder", c.cfg.Folder))
		ctx, cancel := context.WithCancel(context.Background())
		t.end = cancel
		t.wait.Go(func() { t.await(ctx) })
	default:
		t.off(err)
		return nil
	}
	return t
}

func (t *tier) open() (*disk.Store, error) {
	c := &t.cache.cfg
	begun := time.Now()
	s, err := disk.Open(disk.Config{Folder: c.Folder, Size: c.Disk, Logger: c.Logger})
	if err == nil {
		is := s.Stats()
		c.Logger.Info("the cache on disk is there", slog.String("folder", c.Folder), slog.Int("answers", is.Records),
			slog.Int64("bytes", is.Bytes), slog.Duration("loaded_in", time.Since(begun)))
	}
	return s, err
}

func (t *tier) off(err error) {
	fix := "make cache-folder a folder that Portway's user can write to, and start again"
	if errors.Is(err, disk.ErrOthers) {
		fix = "make cache-folder an empty folder, or one that is not there yet, and start again"
	}
	t.cache.cfg.Logger.Warn("the cache keeps nothing on disk", slog.Any("error", err), slog.String("folder", t.cache.cfg.Folder), slog.String("fix", fix))
}

// await takes the folder when it is free.
func (t *tier) await(ctx context.Context) {
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		s, err := t.open()
		if errors.Is(err, disk.ErrLocked) {
			continue
		}
		if err != nil {
			t.off(err)
			return
		}
		t.attach(s)
		return
	}
}

// attach begins to use s, without what has changed since it was written. Requests do not
// wait for the disk meanwhile, but note what changes.
func (t *tier) attach(s *disk.Store) {
	t.sweep(s)
	for !t.attached(s) {
		t.mu.Lock()
		missed := t.missed
		t.missed = make(map[disk.ID]struct{})
		t.mu.Unlock()
		if missed == nil {
			s.Sweep(func(disk.Hints) bool { return true }, func([]byte) bool { return true })
		}
		for id := range missed {
			s.Drop(s.Find(id)...)
		}
	}
	t.sweep(s) // what was purged since the first time
}

// attached has s used, if nothing of it has changed that was noted. What is not in s any
// more does not matter.
func (t *tier) attached(s *disk.Store) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.missed {
		if len(s.Find(id)) > 0 {
			return false
		}
	}
	if t.missed == nil && s.Stats().Records > 0 {
		return false
	}
	t.store.Store(s)
	return true
}

// use gives the store; nil if there is none, when it is noted that what is stored by id
// has changed.
func (t *tier) use(id disk.ID) *disk.Store {
	if s := t.store.Load(); s != nil {
		return s
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.store.Load(); s != nil {
		return s
	}
	if t.missed != nil {
		if t.missed[id] = struct{}{}; len(t.missed) > maxMissed {
			t.missed = nil
		}
	}
	return nil
}

func (t *tier) close() {
	if t == nil {
		return
	}
	t.end()
	t.wait.Wait()
	if s := t.store.Load(); s != nil {
		if err := s.Close(); err != nil {
			t.cache.cfg.Logger.Warn("the cache on disk was not closed well, and may be empty after the next start of the machine", slog.Any("error", err))
		}
	}
}

// idOf is what key is found by on disk.
func idOf[K string | []byte](key K) disk.ID {
	sum := sha256.Sum256([]byte(key))
	return disk.ID(sum[:16])
}

// load brings what is on disk by key to memory. It returns have with all that; nil if
// there is nothing else.
func (t *tier) load(key []byte, have *resource) *resource {
	s := t.store.Load()
	if s == nil {
		return nil
	}
	id := idOf(key)
	if missing := lacking(s.Find(id), have); len(missing) == 0 {
		return nil
	}
	found, _, _ := t.loads.Do(string(key), func() (any, error) {
		swept := t.swept.Load() // before Find
		var objects []*object
		for _, e := range lacking(s.Find(id), t.cache.memory.get(key)) {
			if o := t.read(s, e, string(key), swept); o != nil {
				objects = append(objects, o)
			}
		}
		if len(objects) > 0 {
			t.cache.memory.merge(string(key), objects)
		}
		return objects, nil
	})
	now := t.cache.find(key)
	if more := now.and(string(key), found.([]*object)); more != nil {
		return more
	}
	if now != have {
		return now
	}
	return nil
}

// lacking gives those entries that r has no object of.
func lacking(entries []*disk.Entry, r *resource) []*disk.Entry {
	if r == nil {
		return entries
	}
	return slices.DeleteFunc(entries, func(e *disk.Entry) bool {
		return slices.ContainsFunc(r.variants, func(o *object) bool { return o.entry.Load() == e })
	})
}

// maxAhead is by how much an answer may come from the future, since clocks are put right.
// What was stored while the clock was far ahead would be fresh until that time comes.
const maxAhead = time.Minute

// read gets an object from the disk; nil if that cannot be done.
func (t *tier) read(s *disk.Store, e *disk.Entry, key string, swept uint64) *object {
	r, err := s.Read(e)
	if err != nil {
		return nil
	}
	if o, ok := r.Owner.(*object); ok {
		return o // not written yet
	}
	o, ok := decode(r.Meta, key)
	if !ok || o.received.Sub(t.cache.now()) > maxAhead {
		s.Drop(e)
		return nil
	}
	if r.File != nil {
		o.content.size, o.content.file = r.File.Size(), r.File
	} else {
		o.content.give(r.Content)
	}
	o.length = o.content.size
	o.content.complete.Store(true)
	o.entry.Store(e)
	o.purges.Store(max(e.Stamp, swept))
	return o
}

// file gives one for the content of a fetch, which then takes memory for some pieces
// only; nil if there is none.
func (t *tier) file(b *filling) *disk.File {
	s := t.store.Load()
	if _, ok := encode(b.flight.key, b.object); s == nil || !ok || !b.reserve(3*largestPiece) {
		return nil
	}
	f, err := s.Create()
	if err != nil {
		return nil
	}
	return f
}

// onDisk is what is known of an object before it is stored.
type onDisk struct {
	addition *disk.Addition // nil: it is not for the disk
	known    *resource      // what there is by its key
}

// prepare does what takes time, or the disk.
func (t *tier) prepare(key string, o *object) *onDisk {
	if t == nil {
		return nil
	}
	on := &onDisk{addition: t.addition(key, o), known: t.cache.memory.get([]byte(key))}
	if more := t.load([]byte(key), on.known); more != nil {
		on.known = more
	}
	return on
}

// addition makes of o what is stored on disk; nil if it is not for the disk.
func (t *tier) addition(key string, o *object) *disk.Addition {
	meta, ok := encode(key, o)
	if !ok {
		return nil
	}
	a := &disk.Addition{ID: idOf(key), Hints: hintsOf(key, o.tags), Stamp: o.purges.Load(), Meta: meta, File: o.content.file, Owner: o}
	if a.File == nil {
		if o.content.size > disk.Small {
			return nil
		}
		for _, p := range o.content.pieces {
			a.Content = append(a.Content, p.data)
		}
	}
	return a
}

// put stores o in place of those of known that it supersedes. It returns false if the
// content, which is on disk, is lost by that.
func (t *tier) put(key string, o *object, a *disk.Addition, known *resource, supersedes func(v *object) bool) bool {
	s := t.use(idOf(key))
	if s == nil {
		return o.content.file == nil
	}
	var replaces []*disk.Entry
	for i, v := range known.all() {
		if e := v.entry.Load(); e != nil && (i >= maxVariants-1 || supersedes(v)) {
			replaces = append(replaces, e)
		}
	}
	for _, v := range t.cache.memory.get([]byte(key)).all() { // what has come meanwhile
		if e := v.entry.Load(); e != nil && supersedes(v) {
			replaces = append(replaces, e)
		}
	}
	if a == nil {
		s.Forget(replaces...)
		return true
	}
	a.Replaces = replaces
	return t.add(s, o, a, false)
}

func (t *tier) add(s *disk.Store, o *object, a *disk.Addition, only bool) bool {
	e := a.Prepare()
	o.entry.Store(e)
	if s.Add(a, e, only) {
		return true
	}
	if o.content.file == nil {
		o.entry.Store(nil)
	}
	return o.content.file == nil
}

// purge has what was purged leave the disk, for good when it returns.
func (t *tier) purge() int {
	if t == nil {
		return 0
	}
	s := t.store.Load()
	if s == nil {
		return 0
	}
	dropped := t.sweep(s)
	s.Flush() // of that which was dropped beside it
	return dropped
}

// sweep drops what was purged since the last sweep.
func (t *tier) sweep(s *disk.Store) (dropped int) {
	t.sweeping.Lock()
	defer t.sweeping.Unlock()
	rules, given := t.cache.purges.since(t.swept.Load())
	if len(rules) == 0 {
		return 0
	}
	dropped = s.Sweep(func(h disk.Hints) bool {
		return slices.ContainsFunc(rules, func(r rule) bool { return r.may(h) })
	}, func(meta []byte) bool {
		key, o, ok := parse(meta)
		return !ok || slices.ContainsFunc(rules, func(r rule) bool { return r.fits(key, o) })
	})
	t.swept.Store(given)
	return dropped
}
