package cache

import (
	"slices"
	"sync"
	"sync/atomic"
)

// flight is a fetch that others may join.
type flight struct {
	key    string
	landed chan struct{} // closed when object is known
	object *object       // nil: each has to ask for itself
	stale  bool          // object is an old one, since the origin failed
	single bool          // fetches for one client only: not to be joined
	doomed atomic.Bool   // what it brings is outdated already: not to be stored, nor joined
}

// flights are those under way.
type flights struct {
	mu  sync.Mutex
	all map[string][]*flight
}

// join gives a flight by key that may bring what is asked for: one whose object is
// not known yet, or fits. If there is none, a new one begins, which the caller has to
// land and to end; first says so. But if one has just ended, and arrived tells that this
// was it, there is none at all.
func (f *flights) join(key []byte, fits func(o *object) bool, arrived func() bool) (fl *flight, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.findLocked(key, fits); fl != nil {
		return fl, false
	}
	if arrived() {
		return nil, false
	}
	return f.beginLocked(key, false), true
}

// find is join without a new flight.
func (f *flights) find(key []byte, fits func(o *object) bool) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.findLocked(key, fits)
}

func (f *flights) findLocked(key []byte, fits func(o *object) bool) *flight {
	for _, fl := range f.all[string(key)] {
		if fl.single || fl.doomed.Load() {
			continue
		}
		select {
		case <-fl.landed:
			if fl.object != nil && fits(fl.object) {
				return fl
			}
		default:
			return fl
		}
	}
	return nil
}

// begin starts a flight whatever else is under way, that nobody joins.
func (f *flights) begin(key []byte) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.beginLocked(key, true)
}

// alone starts a flight if there is none by key.
func (f *flights) alone(key []byte) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all[string(key)]) > 0 {
		return nil
	}
	return f.beginLocked(key, false)
}

func (f *flights) beginLocked(key []byte, single bool) *flight {
	fl := &flight{key: string(key), single: single, landed: make(chan struct{})}
	f.all[fl.key] = append(f.all[fl.key], fl)
	return fl
}

// land tells those who wait what there is. It may be called more than once; the first
// call counts.
func (fl *flight) land(o *object, stale bool) {
	select {
	case <-fl.landed:
	default:
		fl.object, fl.stale = o, stale
		close(fl.landed)
	}
}

// end takes fl from those that can be joined.
func (f *flights) end(fl *flight) {
	fl.land(nil, false)
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := f.all[fl.key]
	if i := slices.Index(rest, fl); i >= 0 {
		rest = slices.Delete(rest, i, i+1)
	}
	if len(rest) == 0 {
		delete(f.all, fl.key)
	} else {
		f.all[fl.key] = rest
	}
}

// commit calls store, unless what fl brings is outdated. What is doomed at the same time
// is either not stored, or removed by whoever doomed it.
func (f *flights) commit(fl *flight, store func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !fl.doomed.Load() {
		store()
	}
}

// doom has what is under way by key not be stored, since it may be outdated.
func (f *flights) doom(key []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.all[string(key)] {
		fl.doomed.Store(true)
	}
}
