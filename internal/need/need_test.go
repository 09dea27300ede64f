package need_test

import (
	"fmt"
	"testing"

	"portway/internal/need"
)

// double notes what Missing does to a test; what would end it panics.
type double struct {
	testing.TB
	did string
}

func (d *double) Helper()                   {}
func (d *double) Fatalf(f string, a ...any) { d.did = "failed: " + fmt.Sprintf(f, a...); panic(d) }
func (d *double) Skipf(f string, a ...any)  { d.did = "skipped: " + fmt.Sprintf(f, a...); panic(d) }

func TestMissing(t *testing.T) {
	for _, tt := range []struct{ ci, require, want string }{
		{"", "", "skipped: NOT RUN: no tool"},
		{"true", "", "failed: no tool"},
		{"", "1", "failed: no tool"},
		{"", "0", "skipped: NOT RUN: no tool"},
	} {
		t.Setenv("CI", tt.ci)
		t.Setenv("PORTWAY_TEST_REQUIRE", tt.require)
		d := &double{TB: t}
		func() {
			defer func() { _ = recover() }()
			need.Missing(d, "no %s", "tool")
		}()
		if d.did != tt.want {
			t.Errorf("CI=%q PORTWAY_TEST_REQUIRE=%q: %s, want %s", tt.ci, tt.require, d.did, tt.want)
		}
	}
}
