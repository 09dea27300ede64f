package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
)

// SIGHUP applies what can change at once, names what cannot, and keeps all of
// it when the file has a mistake.
func TestReload(t *testing.T) {
	t.Parallel()
	path := settingsFile(t, "log-level: info")
	inv, err := parse([]string{"--config=" + path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var level string
	r := newReloader(inv, slog.New(slog.NewTextHandler(&out, nil)), map[string]func(*cli){"log-level": func(c *cli) { level = c.Run.LogLevel }})
	for _, step := range []struct{ file, level, want string }{
		{"log-level: info", "", "settings reloaded"},
		{"log-level: debug", "debug", "setting=log-level value=debug"},
		{"log-level: debug\nemail: a@b.example", "debug", "this setting changes only at a restart\" setting=email given_by=" + path + ":2: email"},
		{"log-level: loud", "debug", "settings not reloaded"},
		{"log-levle: info", "debug", "did you mean log-level?"},
		{"", "info", "setting=log-level value=info"},
	} {
		out.Reset()
		if err := os.WriteFile(path, []byte(step.file), 0o600); err != nil {
			t.Fatal(err)
		}
		r.reload()
		if got := strings.ReplaceAll(out.String(), `given_by="`, "given_by="); level != step.level || !strings.Contains(got, step.want) {
			t.Errorf("%q: level %q, want %q; logged %s", step.file, level, step.level, got)
		}
	}
}
