package cache

import (
	"slices"

	"portway/proxy/cache/disk"
	"portway/proxy/exchange"
)

// put stores o, which is complete, in place of what it supersedes. known is what there
// is by its key on disk, too, and on is what of o goes there.
func (c *Cache) put(key string, o *object, on *onDisk, supersedes func(v *object) bool) {
	if c.disk != nil && !c.disk.put(key, o, on.addition, on.known, supersedes) {
		return
	}
	c.memory.put(key, o, supersedes)
}

// replace puts next in the place of o, if o is still there; nil: nothing. The disk is
// told, and not waited for.
func (c *Cache) replace(key string, o, next *object) {
	e := o.entry.Load()
	if c.disk == nil || e == nil {
		c.memory.replace(key, o, next)
		return
	}
	s := c.disk.store.Load()
	if next == nil {
		s.Forget(e) // first, so that it does not come back to memory
		c.memory.replace(key, o, nil)
		return
	}
	a := c.disk.addition(key, next)
	if a == nil {
		s.Forget(e)
	} else if a.Replaces = append(a.Replaces, e); !c.disk.add(s, next, a, true) {
		next = nil
	}
	c.memory.replace(key, o, next)
	if next != nil && c.purged(key, next) {
		c.replace(key, next, nil)
	}
}

// deeper looks on disk for what there is not in memory: r is what is there, and o of it
// what fits a request.
func (c *Cache) deeper(ex *exchange.Exchange, key, extra []byte, r *resource, o *object) (*resource, *object) {
	if o != nil && !o.lost() {
		if e := o.entry.Load(); e != nil {
			e.Use()
		}
		return r, o
	}
	if o != nil {
		c.replace(string(key), o, nil)
		r = r.without(o)
	}
	if more := c.disk.load(key, r); more != nil {
		r = c.purges.check(c, more)
	}
	return r, r.find(ex, extra)
}

// invalidate drops what is stored by key, or about to be.
func (c *Cache) invalidate(key []byte) {
	c.flights.doom(key)
	if c.disk == nil {
		c.memory.remove(key)
		return
	}
	id := idOf(key)
	s := c.disk.use(id)
	if s == nil {
		c.memory.remove(key)
		return
	}
	hidden := s.HideAll(id) // first, so that it does not come back to memory
	c.memory.remove(key)
	s.Erase(hidden)
}

// purged tells whether o was purged while it was being stored.
func (c *Cache) purged(key string, o *object) bool {
	return o.purges.Load() != c.purges.count() && c.purges.fits(key, o)
}

// recheck drops o if it was purged meanwhile, and waits for that.
func (c *Cache) recheck(key string, o *object) {
	if !c.purged(key, o) {
		return
	}
	var hidden []*disk.Entry
	e := o.entry.Load()
	if e != nil {
		hidden = c.disk.store.Load().Hide(e)
	}
	c.memory.replace(key, o, nil)
	if e != nil {
		c.disk.store.Load().Erase(hidden)
	}
}

// lost tells whether o's content was on disk, and is not any more.
func (o *object) lost() bool {
	if o.content.file == nil {
		return false
	}
	e := o.entry.Load()
	return e == nil || e.Gone()
}

// and is r, which may be nil, with objects from the disk at their places, but for those
// that are gone; nil if those are all.
func (r *resource) and(key string, objects []*object) *resource {
	next := &resource{key: key}
	if r != nil {
		next.apart, next.variants = r.apart, slices.Clone(r.variants)
	}
	before := len(next.variants)
	for _, o := range objects {
		e := o.entry.Load()
		if e == nil || e.Gone() || slices.Contains(next.variants, o) {
			continue
		}
		at := slices.IndexFunc(next.variants, func(v *object) bool {
			than := v.entry.Load()
			return than != nil && e.Newer(than)
		})
		if at < 0 {
			at = len(next.variants)
		}
		next.variants = slices.Insert(next.variants, at, o)
	}
	if len(next.variants) == before {
		return nil
	}
	next.variants = next.variants[:min(len(next.variants), maxVariants)]
	return next
}
