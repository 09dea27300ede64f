package lint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"portway/label"
	"portway/lint"
	"portway/proxy"
	"portway/route"
)

var update = flag.Bool("update", false, "write the wanted output of golden files anew")

// TestGolden looks at the files of a case and compares what is said. A case has
//
//	a comment: the reason why it is there
//	args: paths, network=NAME, profile=NAME, NAME=VALUE of the environment, default=OPTION=VALUE
//	   of Portway's settings and trusts-all, one a line; without, the folder itself
//	want: the report as text
//
// and the files that it is about.
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
	dir := filepath.Join(t.TempDir(), "site")
	cfg := lint.Config{Middleware: proxy.Binders, Env: map[string]string{}, Settings: none}
	want := -1
	for i, f := range a.Files {
		switch f.Name {
		case "want":
			want = i
			continue
		case "args":
			arguments(&cfg, dir, string(f.Data))
			continue
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if cfg.Paths == nil {
		cfg.Paths = []string{dir}
	}
	report, err := lint.Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(text(t, report), dir+"/", "")
	switch {
	case want < 0:
		t.Error("the case has no file want")
	case *update:
		a.Files[want].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	case string(a.Files[want].Data) != got:
		t.Errorf("got:\n%swant:\n%s", got, a.Files[want].Data)
	}
	sarif(t, report)
}

// none are the settings of a Portway that nobody told anything.
func none([]string, map[string]string) (lint.Settings, []string) {
	return lint.Settings{Routes: "/etc/portway/routes", Storage: "/data"}, nil
}

func arguments(cfg *lint.Config, dir, text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, assigned := strings.Cut(line, "=")
		switch {
		case line == "trusts-all":
			cfg.Settings = func([]string, map[string]string) (lint.Settings, []string) {
				return lint.Settings{TrustsAll: true}, nil
			}
		case !assigned:
			cfg.Paths = append(cfg.Paths, filepath.Join(dir, line))
		case name == "network":
			cfg.Networks = append(cfg.Networks, value)
		case name == "profile":
			cfg.Profiles = append(cfg.Profiles, value)
		case name == "default":
			option, value, _ := strings.Cut(value, "=")
			cfg.Settings = func([]string, map[string]string) (lint.Settings, []string) {
				return lint.Settings{Defaults: label.Values{option: value}}, nil
			}
		default:
			cfg.Env[name] = value
		}
	}
}

func text(t *testing.T, r lint.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sarif holds the report in that form against the parts of the standard that are musts.
func sarif(t *testing.T, r lint.Report) {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteSARIF(&b, "1"); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct{ ID string }
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if log.Version != "2.1.0" || run.Tool.Driver.Name == "" || len(run.Results) != len(r.Findings) {
		t.Errorf("not all of the report, or no SARIF: %s", b.Bytes())
	}
	for _, x := range run.Results {
		if x.RuleIndex < 0 || run.Tool.Driver.Rules[x.RuleIndex].ID != x.RuleID || x.Message.Text == "" {
			t.Errorf("%q is no rule of those that are listed, or says nothing", x.RuleID)
		}
	}
}

// TestOptions: what lint knows by name are options.
func TestOptions(t *testing.T) {
	t.Parallel()
	known := label.Describe(append([]label.Binder{&route.Options{}}, proxy.Binders()...)...)
	for _, name := range lint.Named() {
		if known.Nearest(name) != name {
			t.Errorf("%s is no option", name)
		}
	}
}

// TestNothing: what is not there is no clean result.
func TestNothing(t *testing.T) {
	t.Parallel()
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "compose.yaml")} {
		if _, err := lint.Run(context.Background(), lint.Config{Paths: []string{path}}); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}
