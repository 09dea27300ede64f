package admin

import (
	"os"
	"runtime"
)

// Runtime is what the process itself takes, to tell a leak from load: after the
// load is gone, and idle connections with it, these return to what they were.
type Runtime struct {
	Goroutines int    `json:"goroutines"`
	OpenFiles  int    `json:"open_files,omitempty"` // descriptors, sockets included; Linux only
	HeapBytes  uint64 `json:"heap_bytes"`           // in use, with what is not collected yet
}

func readRuntime() Runtime {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Runtime{Goroutines: runtime.NumGoroutine(), OpenFiles: openFiles(), HeapBytes: m.HeapAlloc}
}

// openFiles is 0 where the system does not tell.
func openFiles() int {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0
	}
	return len(names) - 1 // without dir itself
}
