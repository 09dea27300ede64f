package h2

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"portway/internal/need"
)

// TestH2Spec runs h2spec, all of it and strictly, over TLS. TestConformance
// covers the same ground from within; this is somebody else's reading of the RFC.
func TestH2Spec(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("h2spec")
	if err != nil {
		tool, _ = filepath.Abs("../../.cache/bin/h2spec")
		_, err = os.Stat(tool)
	}
	if err != nil {
		need.Missing(t, "h2spec is not here, so that its 146 conformance tests do not run; get it by: scripts/tool h2spec")
	}
	ts := serve(t, true, &Server{Handler: hello})
	host, port, err := net.SplitHostPort(ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-h", host, "-p", port, "-t", "-k", "-o", "2", "--path", "/post", "--strict").CombinedOutput()
	summary := regexp.MustCompile(`(?m)^(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed`).FindSubmatch(out)
	switch {
	case err != nil || summary == nil:
		t.Fatalf("h2spec: %v\n%s", err, out)
	case string(summary[1]) != string(summary[2]):
		t.Fatalf("not all tests passed:\n%s", out)
	}
	t.Logf("%s", summary[0])
}
