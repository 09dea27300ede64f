package pebbletest_test

import (
	"strings"
	"testing"

	"portway/internal/pebbletest"
)

func TestStartDownUp(t *testing.T) {
	t.Parallel()
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: 1, TLSPort: 2, BadNonces: 30})
	before := p.Roots()
	if !strings.Contains(p.Log(), "Configured to reject 30% of good nonces") {
		t.Errorf("the share of bad nonces is not in the log:\n%s", p.Log())
	}
	if p.Orders() != 0 {
		t.Errorf("%d orders, want none", p.Orders())
	}
	p.SetA("a.example", "127.0.0.2")
	p.ClearA("a.example")
	p.SetAddress("127.0.0.3")
	p.Down()
	p.Up()
	if p.Roots().Equal(before) {
		t.Error("the root is the same after a restart, so the state was not lost")
	}
}
