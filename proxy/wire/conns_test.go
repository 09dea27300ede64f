package wire

import (
	"testing"
	"time"
)

// events tells what became of connections, which are numbers.
type events struct {
	begun, ended, added int
	swept               chan []int
	stopped             chan struct{}
}

func (e *events) Begin() time.Duration { e.begun++; return time.Millisecond }
func (e *events) Added(int)            { e.added++ }
func (e *events) End()                 { e.ended++; e.stopped <- struct{}{} }
func (e *events) Sweep(_ time.Time, conns []int) {
	e.swept <- append([]int(nil), conns...)
}

// over waits for the sweeper's end; it may have begun a sweep with what was there.
func (e *events) over() {
	for {
		select {
		case <-e.swept:
		case <-e.stopped:
			return
		}
	}
}

func TestConns(t *testing.T) {
	t.Parallel()
	e := &events{swept: make(chan []int), stopped: make(chan struct{}, 2)}
	var l Conns[int]
	for _, c := range []int{1, 2} {
		if !l.Add(c, e) {
			t.Fatal("not taken")
		}
	}
	for len(<-e.swept) != 2 { // the first may come between the two
	}
	l.Remove(1)
	for got := range e.swept {
		if len(got) == 1 && got[0] == 2 {
			break
		}
	}
	l.Remove(2)
	e.over()
	l.Add(3, e) // begins again
	if got := <-e.swept; len(got) != 1 || got[0] != 3 {
		t.Errorf("swept %v", got)
	}
	drained := 0
	empty := l.Drain(func(c int) { drained += c })
	if l.Add(4, e) {
		t.Error("taken while draining")
	}
	select {
	case <-empty:
		t.Error("a connection is left")
	default:
	}
	l.Remove(3)
	<-empty
	<-l.Drain(func(int) { t.Error("none is left") }) // once more changes nothing
	e.over()
	if e.begun != 2 || e.ended != 2 || e.added != 3 || drained != 3 {
		t.Errorf("%+v, drained %d", e, drained)
	}
	var none Conns[int]
	<-none.Drain(func(int) {})
}
