package discovery

import (
	"os"
	"testing"
	"time"

	"portway/internal/dockertest"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// waitFor asks until the answer is yes, where nothing tells when it is.
func waitFor(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	tb.Fatal("waited in vain: " + what)
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
