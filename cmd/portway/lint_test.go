package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"portway/lint"
	"portway/proxy"
)

// TestLintExamples: what we show to people has nothing to complain about, and there is
// something to look at in each.
func TestLintExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../compose-examples/*/compose.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		report, err := lint.Run(context.Background(), lint.Config{
			Paths: []string{file}, Env: map[string]string{"DOMAIN": "app.example.com", "CUSTOMERS": "www.customer.com"}, Middleware: proxy.Binders, Settings: settingsOf,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !report.Clean() || report.Routes == 0 {
			t.Errorf("%s: %d routes, %v", file, report.Routes, report.Findings)
		}
	}
}

// TestSettingsOf: what is said about settings is what "portway run" would say, and values
// that are elsewhere are not missed.
func TestSettingsOf(t *testing.T) {
	t.Parallel()
	s, complaints := settingsOf([]string{"--trusted-proxies=0.0.0.0/0"}, map[string]string{"PORTWAY_DRAINN": "5s", "PORTWAY_DEFAULT": "compres=true", "PORTWAY_CONFIG": "/dev/null"})
	text := strings.Join(complaints, "\n")
	for _, want := range []string{"PORTWAY_DRAINN: unknown setting; did you mean PORTWAY_DRAIN?", "did you mean compress?"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	if !s.TrustsAll || !s.InFront {
		t.Errorf("trusted-proxies of the command line is not seen: %+v", s)
	}
	if _, complaints = settingsOf(nil, map[string]string{"PORTWAY_DRAIN": "soon"}); len(complaints) != 1 || !strings.HasPrefix(complaints[0], "PORTWAY_DRAIN: ") {
		t.Errorf("a value that does not parse: %q", complaints)
	}
}

// TestLintStatus: that nothing could be looked at is neither good nor bad.
func TestLintStatus(t *testing.T) {
	t.Parallel()
	if status := execute([]string{"lint", t.TempDir()}, nil); status != 2 {
		t.Errorf("a folder without a compose file: status %d", status)
	}
}
