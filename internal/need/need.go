// Package need ends tests that lack something of the machine they run on: an
// engine, a tool, root. Such a test must not pass as if it had run, so it fails
// wherever nothing may be left out.
package need

import (
	"os"
	"testing"
)

// All tells whether every test has to run: under CI, or with PORTWAY_TEST_REQUIRE=1.
func All() bool { return os.Getenv("CI") != "" || os.Getenv("PORTWAY_TEST_REQUIRE") == "1" }

// Missing ends the test: it fails where All tests have to run, and is skipped
// loudly elsewhere. The text says what is missing, and how to get it.
func Missing(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if All() {
		tb.Fatalf(format, args...)
	}
	tb.Skipf("NOT RUN: "+format, args...)
}
