package cache

import (
	"bytes"
	"sync/atomic"
	"time"

	"portway/proxy/cache/disk"
	"portway/proxy/cache/policy"
	"portway/proxy/exchange"
)

// object is a stored response, or one on its way. It is not changed once others can
// see it; its content may still grow.
type object struct {
	status   int
	fields   exchange.Fields
	content  *content
	length   int64 // of the content; unknown until it is complete
	control  policy.ResponseControl
	fresh    policy.Freshness
	received time.Time
	aged     time.Duration // what Age said when it came

	// What a request must have for this to be its answer: the parts of the key beside
	// the address, and the values of the fields that Vary names.
	extra  []byte
	vary   []string
	values []byte

	tags [][]byte // by which it can be purged
	// purges is how many of the cache's purges it has been held against.
	purges atomic.Uint64
	entry  atomic.Pointer[disk.Entry] // nil: it is not on disk
}

// appendPart appends the value of a field that Vary names, so that none can be taken
// for the beginning of the next one: values have no line feeds.
func appendPart(dst []byte, name string, q *exchange.Fields) []byte {
	return append(policy.AppendValue(dst, name, q), '\n')
}

// fits tells whether o answers a request with that extra.
func (o *object) fits(ex *exchange.Exchange, extra []byte) bool {
	if !bytes.Equal(o.extra, extra) {
		return false
	}
	if len(o.vary) == 0 {
		return true
	}
	from := len(ex.Memory)
	for _, name := range o.vary {
		ex.Memory = appendPart(ex.Memory, name, &ex.Request.Fields)
	}
	same := bytes.Equal(ex.Memory[from:], o.values)
	ex.Memory = ex.Memory[:from]
	return same
}

// memory is about how much o takes, in bytes.
func (o *object) memory() int64 {
	n := int64(400+len(o.extra)+len(o.values)) + o.content.memory()
	for name, value := range o.fields.All() {
		n += int64(48 + len(name) + len(value))
	}
	return n
}

// age is how old o is at now.
func (o *object) age(now time.Time) time.Duration { return o.fresh.Age(o.received, now) }

// size tells how long the content is; false as long as nobody knows.
func (o *object) size() (int64, bool) {
	if o.content.complete.Load() {
		return o.content.size, true
	}
	return o.length, o.length >= 0
}

// cloneFields copies f, in memory of its own, but for what drop is true of; nil: all.
func cloneFields(f *exchange.Fields, drop func(name []byte) bool) exchange.Fields {
	size := 0
	for name, value := range f.All() {
		size += len(name) + len(value)
	}
	memory := make([]byte, 0, size)
	keep := func(b []byte) []byte {
		from := len(memory)
		memory = append(memory, b...)
		return memory[from:len(memory):len(memory)]
	}
	var c exchange.Fields
	for name, value := range f.All() {
		if drop == nil || !drop(name) {
			c.Add(keep(name), keep(value))
		}
	}
	return c
}

// resource is all that is stored of one address. It is never changed.
type resource struct {
	key      string
	variants []*object // the newest first
	// apart is until when requests do not wait for one another, since the last answer
	// was for one of them only.
	apart time.Time
}

// separate tells whether requests do not wait for one another at now.
func (r *resource) separate(now time.Time) bool { return !r.apart.IsZero() && now.Before(r.apart) }

// stayApart is how long that is, without another such answer.
const stayApart = 10 * time.Second

// maxVariants bounds what one address can take, whatever its Vary says: the oldest
// variants go.
const maxVariants = 64

// all gives the variants of r, which may be nil.
func (r *resource) all() []*object {
	if r == nil {
		return nil
	}
	return r.variants
}

// find gives the variant for a request; of several that fit, the newest. r may be nil.
func (r *resource) find(ex *exchange.Exchange, extra []byte) *object {
	for _, o := range r.all() {
		if o.fits(ex, extra) {
			return o
		}
	}
	return nil
}

// with is r with o in place of those that o supersedes.
func (r *resource) with(key string, o *object, supersedes func(v *object) bool) *resource {
	next := &resource{key: key, variants: []*object{o}}
	if r != nil {
		for _, v := range r.variants {
			if len(next.variants) < maxVariants && !supersedes(v) {
				next.variants = append(next.variants, v)
			}
		}
	}
	return next
}

// without is r without o; nil if nothing is left.
func (r *resource) without(o *object) *resource {
	next := &resource{key: r.key, apart: r.apart}
	for _, v := range r.variants {
		if v != o {
			next.variants = append(next.variants, v)
		}
	}
	if len(next.variants) == 0 {
		return nil
	}
	return next
}

func (r *resource) memory() int64 {
	n := int64(200 + 2*len(r.key))
	for _, o := range r.variants {
		n += o.memory()
	}
	return n
}
