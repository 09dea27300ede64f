package discovery

import (
	"context"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"portway/label"
)

const (
	inspectLimit = 10 * time.Second // for one
	inspectMany  = 8                // at a time, so as not to crowd out other users of the engine

	reinspectFirst = time.Second
	reinspectLimit = time.Minute
)

// inspections is the queue of containers to be inspected, and those that are.
type inspections struct {
	queue   []string
	pending map[string]*inspection // queued and running
	running int
	done    chan *inspection

	ctx    context.Context // of the present connection
	cancel context.CancelFunc
}

// inspection is one call, and then its result.
type inspection struct {
	id      string
	ctx     context.Context
	started bool
	seq     int  // of the entry, when it was started
	late    bool // the table does not wait for it any more
	old     *snapshot

	snap *snapshot
	err  error
}

// inspect has a container inspected, once, however often it is asked for before
// that starts.
func (w *watcher) inspect(e *entry) {
	delete(w.retries, e.id)
	if e.stopping != nil {
		w.retries[e.id] = e.stopping.until
	}
	if w.inspections.pending[e.id] != nil {
		return // if it has started, its result will be seen to be outdated
	}
	w.inspections.pending[e.id] = &inspection{id: e.id}
	w.inspections.queue = append(w.inspections.queue, e.id)
	w.pump()
}

// pump starts as many inspections as may run.
func (w *watcher) pump() {
	q := &w.inspections
	for q.running < inspectMany && len(q.queue) > 0 && q.ctx != nil {
		i := q.pending[q.queue[0]]
		q.queue = q.queue[1:]
		e := w.entries[i.id]
		if e == nil {
			delete(q.pending, i.id)
			continue
		}
		i.started, i.seq, i.old, i.ctx = true, e.seq, e.snap, q.ctx
		q.running++
		w.tasks.Go(func() {
			i.snap, i.err = w.look(i)
			select {
			case q.done <- i:
			case <-w.ctx.Done():
			}
		})
	}
}

// look runs beside the goroutine that owns w, and only reads what never changes.
func (w *watcher) look(i *inspection) (*snapshot, error) {
	ctx, cancel := context.WithTimeout(i.ctx, inspectLimit)
	defer cancel()
	r, err := w.cfg.Engine.ContainerInspect(ctx, i.id)
	if err != nil {
		return nil, err
	}
	s, err := newSnapshot(r, w.rules, i.old)
	if err == nil && s.id != i.id {
		err = fmt.Errorf("%w: asked for %.12s, it is about %.12s", errNoContainer, i.id, s.id)
	}
	return s, err
}

// onInspected takes in the result of an inspection.
func (w *watcher) onInspected(i *inspection) {
	q := &w.inspections
	q.running--
	defer w.pump()
	if q.pending[i.id] != i {
		return // of a connection that is gone
	}
	delete(q.pending, i.id)
	e := w.entries[i.id]
	if e == nil {
		return
	}
	if cerrdefs.IsNotFound(i.err) {
		w.emits.join(time.Now())
		w.drop(e)
		return
	}
	// An event came after it had begun: it may tell the state from before. Better
	// than nothing, if nothing is known.
	outdated := e.seq != i.seq
	if outdated {
		w.inspect(e)
		q.pending[e.id].late = i.late
	}
	switch {
	case i.err != nil && !outdated:
		w.onUninspectable(e, i.err)
	case i.err == nil && (!outdated || e.snap == nil):
		w.onSnapshot(e, i.snap)
	}
}

// onUninspectable leaves a container in its last known state, says so, and
// tries again.
func (w *watcher) onUninspectable(e *entry, err error) {
	e.failures++
	e.stale = true
	w.retries[e.id] = time.Now().Add(backoff(e.failures, reinspectFirst, reinspectLimit))
	why := "and is left out"
	if e.snap != nil {
		why = "and stays as it was last known"
	}
	e.problem = label.Problem{
		Source: sourceOf(e.name),
		Why:    "the engine cannot tell about it (" + oneLine(err) + "), " + why,
		Fix:    "see whether docker inspect works for it; it will be tried again",
	}
	w.dirty = true
	w.emits.join(time.Now())
}

// onSnapshot takes in what is known now about a container.
func (w *watcher) onSnapshot(e *entry, s *snapshot) {
	if e.problem != (label.Problem{}) {
		w.dirty = true
	}
	old := e.snap
	e.name = s.name
	e.snap, e.failures, e.problem, e.stale, e.down = s, 0, label.Problem{}, false, ""
	if st := e.stopping; st != nil && (!s.running() || st.startedAt != s.startedAt || !time.Now().Before(st.until)) {
		e.stopping = nil
		delete(w.retries, e.id)
	}
	w.regroup(e, old)
	w.emits.join(time.Now())
}
