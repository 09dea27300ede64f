package cache

import (
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/maypok86/otter/v2"
)

// memory holds resources up to a number of bytes. What is asked for again and again
// stays when many others are asked for once (W-TinyLFU).
type memory struct {
	resources *otter.Cache[string, *resource]
}

// unit is what memory is counted in, since otter counts in 32 bits.
const unit = 64

func newMemory(size int64) (*memory, error) {
	m, err := otter.New(&otter.Options[string, *resource]{
		MaximumWeight: uint64(max(size/unit, 1)),
		Weigher: func(_ string, r *resource) uint32 {
			return uint32(min(r.memory()/unit+1, math.MaxUint32))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("the cache's memory: %w", err)
	}
	return &memory{m}, nil
}

// get finds what is stored by key, which need not live on.
func (m *memory) get(key []byte) *resource {
	r, _ := m.resources.GetIfPresent(unsafe.String(unsafe.SliceData(key), len(key)))
	return r
}

// put stores o, in place of what it supersedes.
func (m *memory) put(key string, o *object, supersedes func(v *object) bool) {
	m.resources.Compute(key, func(old *resource, _ bool) (*resource, otter.ComputeOp) {
		return old.with(key, o, supersedes), otter.WriteOp
	})
}

// merge stores objects from the disk beside what is there.
func (m *memory) merge(key string, objects []*object) {
	m.resources.Compute(key, func(old *resource, found bool) (*resource, otter.ComputeOp) {
		if !found {
			old = nil
		}
		if next := old.and(key, objects); next != nil {
			return next, otter.WriteOp
		}
		return nil, otter.CancelOp
	})
}

// replace puts next in the place of o, if o is still there; nil: nothing.
func (m *memory) replace(key string, o, next *object) {
	m.resources.Compute(key, func(old *resource, found bool) (*resource, otter.ComputeOp) {
		if !found {
			return nil, otter.CancelOp
		}
		var r *resource
		if next != nil {
			r = old.with(key, next, func(v *object) bool { return v == o })
		} else {
			r = old.without(o)
		}
		if r == nil {
			return nil, otter.InvalidateOp
		}
		return r, otter.WriteOp
	})
}

// apart notes that requests by key are not to wait for one another.
func (m *memory) apart(key string, until time.Time) {
	m.resources.Compute(key, func(old *resource, found bool) (*resource, otter.ComputeOp) {
		next := &resource{key: key, apart: until}
		if found {
			next.variants = old.variants
		}
		return next, otter.WriteOp
	})
}

// remove drops all that is stored by key.
func (m *memory) remove(key []byte) {
	m.resources.Invalidate(string(key))
}
