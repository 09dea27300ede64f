package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFootprint holds the promise for small boxes: with 50 routes, the idle
// process stays below 40 MB of resident memory, and it serves within 300 ms of
// its start when no new certificate is needed.
func TestFootprint(t *testing.T) {
	to := origin(t, "hello")
	routes := t.TempDir()
	var file strings.Builder
	for i := range 50 {
		fmt.Fprintf(&file, "site%d:\n  host: site%d.test\n  to: [%q]\n", i, i, to)
	}
	writeFile(t, filepath.Join(routes, "sites.yaml"), file.String())
	storage := filepath.Join(t.TempDir(), "data")

	first := start(t, "--routes="+routes, "--storage="+storage)
	client := first.client(t, nil)
	for i := range 50 {
		waitStatus(t, client, fmt.Sprintf("https://site%d.test/", i), 200)
	}
	roots := internalRoot(t, first.http)
	first.stop(t)

	begin := time.Now()
	second := start(t, "--routes="+routes, "--storage="+storage)
	client = clientFor(second.http, second.https, roots)
	waitStatus(t, client, "https://site49.test/", 200)
	cold := time.Since(begin)
	for i := range 50 {
		waitStatus(t, client, fmt.Sprintf("https://site%d.test/", i), 200)
	}
	client.CloseIdleConnections()
	rss := residentMemory(t, second.cmd.Process.Pid)
	t.Logf("FIGURES cold start to first HTTPS 200: %v (limit 300ms); idle resident memory with 50 routes: %.1f MB (limit 40 MB)",
		cold.Round(time.Millisecond), float64(rss)/1e6)
	if cold > 300*time.Millisecond {
		t.Errorf("cold start took %v", cold)
	}
	if rss > 40e6 {
		t.Errorf("idle memory is %d bytes", rss)
	}
}

func residentMemory(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
