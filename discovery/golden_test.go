package discovery

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/rogpeppe/go-internal/txtar"

	"portway/label"
	"portway/route"
)

var update = flag.Bool("update", false, "write the wanted output of golden files anew")

// TestGolden replays what an engine said, through the production client, and
// compares the routes and problems that come of it. A case has
//
//	a comment: the reason why it is there
//	list.json: the answer to the list of containers
//	NAME.json: the answer to the inspection of the container NAME
//	info.json: the answer about the engine, if it matters
//	self: the name of the container that Portway itself is in, if it is in one
//	routes/*.yaml: static files, if any
//	settings: lines of default, default-host and constraint, if any
//	want: routes and problems
//	saw: what people are told about each container and file, in cases about that
//
// Answers are recorded from a real engine (see record_test.go) except where the
// comment says otherwise.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			golden(t, file)
		})
	}
}

func golden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(a.Comment)) == "" {
		t.Error("the case does not say why it is there")
	}
	table := replay(t, a)
	got := map[string]string{"want": dump(table), "saw": dumpSources(table)}
	wanted := false
	for i := range a.Files {
		f := &a.Files[i]
		text, checked := got[f.Name]
		wanted = wanted || f.Name == "want"
		switch {
		case !checked:
		case *update:
			f.Data = []byte(text)
		case string(f.Data) != text:
			t.Errorf("%s: got:\n%swant:\n%s", f.Name, text, f.Data)
		}
	}
	if !wanted {
		t.Error("the case has no file want")
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// replay gives the first table that comes of a case.
func replay(t *testing.T, a *txtar.Archive) *route.Table {
	t.Helper()
	f := newFakeEngine()
	answers := make(map[string]json.RawMessage)
	var list []json.RawMessage
	var self string
	cfg := Config{Middleware: func() []label.Binder { return []label.Binder{&tagged{}} }}
	dir := t.TempDir()
	for _, file := range a.Files {
		name, isJSON := strings.CutSuffix(file.Name, ".json")
		switch {
		case file.Name == "list.json":
			if err := json.Unmarshal(file.Data, &list); err != nil {
				t.Fatal(err)
			}
		case file.Name == "info.json":
			f.info = file.Data
		case isJSON:
			answers[name] = file.Data
		case file.Name == "self":
			self = strings.TrimSpace(string(file.Data))
		case file.Name == "settings":
			settings(t, &cfg, string(file.Data))
		case strings.HasPrefix(file.Name, "routes/"):
			cfg.Static = filepath.Join(dir, "routes")
			if err := os.MkdirAll(cfg.Static, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file.Name), file.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var hints []string
	for _, item := range list {
		var s container.Summary
		if err := json.Unmarshal(item, &s); err != nil {
			t.Fatal(err)
		}
		name := nameOf(s)
		f.summaries[s.ID] = item
		if answers[name] != nil {
			f.containers[s.ID] = answers[name]
		}
		if name == self {
			hints = []string{s.ID[:12]}
		}
	}
	cfg.Engine = f.serve(t)
	ts := start(t, cfg, hints...)
	return ts.until("at all", func(*route.Table) bool { return true })
}

// settings reads what cmd/portway has for it.
func settings(t *testing.T, cfg *Config, text string) {
	t.Helper()
	cfg.Defaults = make(label.Values)
	var criteria []string
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch name {
		case "default":
			option, value, _ := strings.Cut(value, "=")
			cfg.Defaults[option] = value
		case "default-host":
			cfg.DefaultHost, err = ParseHostRule(value)
		case "constraint":
			criteria = append(criteria, value)
		default:
			t.Fatalf("unknown setting %q", line)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if cfg.Only, err = ParseConstraint(criteria); err != nil {
		t.Fatal(err)
	}
}
