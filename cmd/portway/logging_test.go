package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

// Lines for people on request; JSON for whatever collects logs, which is what
// a container without a terminal has.
func TestLogFormats(t *testing.T) {
	t.Parallel()
	for format, isJSON := range map[string]bool{"text": false, "json": true, "auto": true} {
		var out bytes.Buffer
		newLogger(&out, format, slog.LevelInfo).Info("hello", "site", "example.com")
		if got := json.Valid(out.Bytes()); got != isJSON {
			t.Errorf("%s: JSON is %v: %s", format, got, out.String())
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: colours where there is no terminal: %q", format, out.String())
		}
		if !strings.Contains(out.String(), "example.com") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}

func TestLogLevelChangesWhileUsed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	level := new(slog.LevelVar)
	level.Set(parseLevel("error"))
	logger := newLogger(&out, "json", level)
	logger.Warn("one")
	level.Set(parseLevel("debug"))
	logger.Debug("two")
	if got := out.String(); strings.Contains(got, "one") || !strings.Contains(got, "two") {
		t.Errorf("logged %s", got)
	}
}
