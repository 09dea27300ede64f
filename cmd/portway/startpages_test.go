//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// filePages is the resident memory of this process that files stand behind, in KiB.
func filePages(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				return kib
			}
		}
	}
	t.Fatal("no RssFile")
	return 0
}

// The pages go, and what is needed of them comes back.
func TestForgetStart(t *testing.T) { // not parallel: it measures
	before := filePages(t)
	forgetStart()
	if after := filePages(t); after > before*3/4 {
		t.Errorf("%d KiB of the program's file are resident, %d before", after, before)
	}
}
