package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"portway/internal/freeport"
)

// Without an engine the demo must still show Portway, and take all of it away.
// (With one, .ci/run runs it from a fresh clone.)
func TestWithoutEngine(t *testing.T) {
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	makefile := fmt.Sprintf("binaries:\n\t@$(MAKE) -s -C %s binaries\n\t@mkdir -p dist && cp -r %s/dist/%s dist/\n", repository, repository, arch)
	if err := os.WriteFile("Makefile", []byte(makefile), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_HOST", "unix:///nobody/listens/here.sock")
	t.Setenv("PORTWAY_DEMO_HTTP", freePort(t))
	t.Setenv("PORTWAY_DEMO_HTTPS", freePort(t))
	t.Cleanup(func() {
		if err := down(); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	if err := up(); err != nil { // verifies the chain itself
		t.Fatal(err)
	}
	var st state
	if !load(&st) || len(st.PIDs) != 2 {
		t.Fatalf("remembered %+v", st)
	}
	if pem, err := os.ReadFile(caFile); err != nil || !strings.HasPrefix(string(pem), "-----BEGIN CERTIFICATE-----") {
		t.Errorf("the CA's file: %.40q, %v", pem, err)
	}
	if err := down(); err != nil {
		t.Fatal(err)
	}
	for _, p := range st.PIDs {
		if !ended(p.PID) {
			t.Errorf("process %d (%s) is still there", p.PID, p.Program)
		}
	}
	for _, left := range []string{stateDir, caFile} {
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", left, err)
		}
	}
}

// A port in use must lead to another one, not to a failure.
func TestChoosePorts(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := l.Addr().(*net.TCPAddr).Port
	if got, err := choosePort("X", "", taken, 20080); err != nil || got == taken || got < 20080 {
		t.Errorf("instead of a taken port: %d, %v", got, err)
	}
	if got, err := choosePort("X", "1234", taken, 20080); err != nil || got != 1234 {
		t.Errorf("the port that was asked for: %d, %v", got, err)
	}
	for _, wrong := range []string{"http", "0", "70000", "-1"} {
		if got, err := choosePort("X", wrong, taken, 20080); err == nil || !strings.HasPrefix(err.Error(), "X: ") {
			t.Errorf("%q is taken as %d, %v", wrong, got, err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	address, err := freeport.On("") // Docker publishes at all addresses
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	return port
}
