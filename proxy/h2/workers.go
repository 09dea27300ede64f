package h2

import (
	"sync"
	"time"
)

// workerIdle is how long a goroutine without work is kept.
const workerIdle = int64(10 * time.Second)

type task interface{ run() }

// workers runs tasks on goroutines that stay for the next one, so that their
// stacks, once grown, need not grow again.
type workers struct {
	mu   sync.Mutex
	idle []*worker // the longest idle first
	keep bool
	now  int64
}

type worker struct {
	tasks chan task
	since int64
}

// do runs t at once on a goroutine of its own.
func (p *workers) do(t task) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		w.tasks <- t
		return
	}
	p.mu.Unlock()
	go p.loop(&worker{tasks: make(chan task, 1)}, t)
}

func (p *workers) loop(w *worker, t task) {
	for t != nil {
		t.run()
		p.mu.Lock()
		if !p.keep {
			p.mu.Unlock()
			return
		}
		w.since = p.now
		p.idle = append(p.idle, w)
		p.mu.Unlock()
		t = <-w.tasks
	}
}

// open keeps goroutines from now on.
func (p *workers) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep = true
}

// close ends idle goroutines, and others when their task is done.
func (p *workers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep = false
	p.dismiss(len(p.idle))
}

// trim ends those that have been idle for long.
func (p *workers) trim(now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
	n := 0
	for n < len(p.idle) && now-p.idle[n].since > workerIdle {
		n++
	}
	p.dismiss(n)
}

// dismiss ends the n longest idle.
func (p *workers) dismiss(n int) {
	for _, w := range p.idle[:n] {
		w.tasks <- nil
	}
	kept := copy(p.idle, p.idle[n:])
	clear(p.idle[kept:])
	p.idle = p.idle[:kept]
}
