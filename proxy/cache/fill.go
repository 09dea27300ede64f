package cache

import (
	"errors"
	"log/slog"

	"portway/proxy/cache/disk"
	"portway/proxy/exchange"
)

// errClosing is what fetches end with that outlast the cache.
var errClosing = errors.New("the cache is closing")

// fill reads the content of o, which is on its way in sub: at once, if it is at hand,
// and otherwise on a goroutine that nobody's leaving ends.
func (f *fetching) fill(o *object, sub *exchange.Exchange) {
	p := &sub.Response
	f.kept = true
	if p.Body == nil {
		o.content = completeContent(nil)
		f.store(o, sub)
		return
	}
	o.content = newContent()
	ready, _ := p.Body.(exchange.Buffered)
	if o.length >= 0 && ready != nil && int64(ready.Buffered()) >= o.length {
		f.pump(o, sub)
		return
	}
	if f.waited {
		f.pin = &reader{content: o.content}
		o.content.attach(f.pin, false)
	}
	f.flight.land(o, false)
	f.cache.work.Go(func() { f.pump(o, sub) })
}

// unpin lets the content go on without the client that it was fetched for, which has
// a reader of its own by now.
func (f *fetching) unpin() {
	if f.pin != nil {
		f.pin.content.detach(f.pin)
		f.pin.closeFile()
	}
}

// pump reads the content, and stores o if that went well.
func (f *fetching) pump(o *object, sub *exchange.Exchange) {
	c := f.cache
	b := filling{fetching: f, object: o}
	defer func() {
		if v := recover(); v != nil {
			_ = o.content.broke(errors.New("an error of Portway's own"))
			c.flights.end(f.flight)
			c.logPanic(exchange.NewPanicError(v))
		}
		c.filling.Add(-b.reserved)
	}()
	p := &sub.Response
	if err := o.content.pump(p.Body, o.length, &p.Trailers, &b); err != nil || !o.content.complete.Load() {
		if o.content.file != nil {
			o.content.file.Discard()
		}
		c.flights.end(f.flight)
		c.finish(sub)
		return
	}
	f.store(o, sub)
}

// filling is what the content of a fetch takes.
type filling struct {
	*fetching
	object   *object
	reserved int64
	tried    bool // to get a file
}

func (b *filling) memory(n int, size int64) bool { return b.wanted(size) && b.reserve(int64(n)) }

func (b *filling) reserve(n int64) bool {
	if !b.cache.reserve(n) {
		return false
	}
	b.reserved += n
	return true
}

func (b *filling) wanted(size int64) bool {
	return size < b.opts.maxObject && !b.flight.doomed.Load()
}

func (b *filling) file() *disk.File {
	if b.tried || b.cache.disk == nil {
		return nil
	}
	b.tried = true
	return b.cache.disk.file(b)
}

// store puts o, which is complete, into the cache, and ends the fetch.
func (f *fetching) store(o *object, sub *exchange.Exchange) {
	c, key := f.cache, f.flight.key
	on := c.disk.prepare(key, o)
	kept := false
	c.flights.commit(f.flight, func() {
		c.put(key, o, on, func(v *object) bool { return v == f.stored || v.fits(sub, o.extra) })
		kept = true
	})
	if kept {
		c.recheck(key, o)
	} else if o.content.file != nil {
		o.content.file.Discard() // whoever reads it has opened it
	}
	f.flight.land(o, false)
	c.flights.end(f.flight)
	c.finish(sub)
}

// enter notes a fetch that is under way; false if there are to be no more.
func (c *Cache) enter(sub *exchange.Exchange) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.live[sub] = struct{}{}
	return true
}

// leave leaves sub to the client.
func (c *Cache) leave(sub *exchange.Exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.live, sub)
}

// finish ends sub.
func (c *Cache) finish(sub *exchange.Exchange) {
	c.leave(sub)
	sub.Finish(0, nil)
	exchange.Put(sub)
}

func (c *Cache) logPanic(p *exchange.PanicError) {
	c.cfg.Logger.Error("panic while filling the cache; this is a bug in Portway", slog.Any("error", p), slog.String("stack", string(p.Stack)))
}
