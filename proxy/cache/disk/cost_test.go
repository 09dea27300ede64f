package disk

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"
)

// A start with 100,000 records takes a bounded time, and each of them a bounded piece
// of memory.
func TestStartAndMemory(t *testing.T) {
	const records = 100_000
	folder := t.TempDir()
	s := open(t, folder, 1<<30)
	meta, content := make([]byte, 300), make([]byte, 700)
	for i := range records {
		a := &Addition{Meta: meta, Content: [][]byte{content}}
		binary.BigEndian.PutUint64(a.ID[:], uint64(i)*0x9e3779b97f4a7c15)
		if !s.Add(a, a.Prepare(), false) {
			t.Fatal("not taken")
		}
		if i%5000 == 0 {
			s.Flush()
		}
	}
	kill(s)
	before := live()
	begun := time.Now()
	s = open(t, folder, 1<<30)
	took := time.Since(begun)
	each := float64(live()-before) / records
	if n := s.Stats().Records; n != records {
		t.Fatalf("%d records", n)
	}
	t.Logf("FIGURE: start with %d objects on disk: %v (required: 2s); %.0f bytes of memory each", records, took.Round(time.Millisecond), each)
	if took > 20*time.Second { // ten times what is asked for: the machine may be busy
		t.Errorf("it took %v", took)
	}
	if each > 250 && !raced {
		t.Errorf("%.0f bytes of memory for each record", each)
	}
	runtime.KeepAlive(s)
}

func live() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
