package main

import (
	"testing"

	"portway/admin/dashboard"
	"portway/proxy"
)

// The path for links, and owners besides those on this machine, are there only with a
// dashboard, and only if error pages are to tell anybody anything.
func TestOwnersNeedADashboard(t *testing.T) {
	t.Parallel()
	there := addresses{"127.0.0.1:0"}
	for what, c := range map[string]struct {
		run  runCmd
		want bool
	}{
		"no dashboard":        {runCmd{OwnerPages: true}, false},
		"a dashboard":         {runCmd{OwnerPages: true, Dashboard: there}, true},
		"a dashboard's route": {runCmd{OwnerPages: true, DashboardHost: []string{"board.test"}}, true},
		"nobody is told":      {runCmd{Dashboard: there}, false},
	} {
		var serving proxy.Config
		c.run.owners(&serving)
		if got := serving.Owners != nil; got != c.want {
			t.Errorf("%s: owners: %v", what, got)
		}
		if got := serving.Secure[dashboard.OwnerPath] != nil; got != c.want {
			t.Errorf("%s: a path: %v", what, got)
		}
	}
}
