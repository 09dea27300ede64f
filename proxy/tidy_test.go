package proxy

import (
	"testing"
	"time"
)

// TestTidier frees memory when the process is idle, there is garbage, and freeing
// does not take too much time itself.
func TestTidier(t *testing.T) {
	var spent time.Duration
	freed := 0
	tidy := newTidier()
	tidy.cpu = func() time.Duration { return spent }
	tidy.free = func() { freed++; spent += 10 * time.Millisecond }
	now := time.Now()
	var sink []byte
	for _, step := range []struct {
		what    string
		busy    time.Duration
		later   time.Duration
		garbage int
		frees   bool
	}{
		{"idle behind the start", 0, time.Second, 2 * garbage, true},
		{"nothing was allocated", 0, 10 * time.Second, 0, false},
		{"busy", 100 * time.Millisecond, 10 * time.Second, 2 * garbage, false},
		{"idle after that", time.Millisecond, time.Second, 0, true},
		{"freed a second ago, for 10 ms", 0, time.Second, 2 * garbage, false},
		{"two seconds ago", 0, time.Second, 0, true},
	} {
		sink = make([]byte, step.garbage)
		spent += step.busy
		now = now.Add(step.later)
		before := freed
		tidy.look(now)
		if frees := freed > before; frees != step.frees {
			t.Errorf("%s: freed %v, want %v", step.what, frees, step.frees)
		}
	}
	_ = sink
}

// TestTidierKnowsTheProcess sees computing, which makes the process busy.
func TestTidierKnowsTheProcess(t *testing.T) {
	before := processTime()
	for deadline := time.Now().Add(30 * time.Second); processTime()-before < 20*time.Millisecond; {
		if time.Now().After(deadline) {
			t.Fatalf("computing all the time, and only %v were counted", processTime()-before)
		}
	}
}
