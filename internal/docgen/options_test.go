package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"portway/label"
	"portway/proxy"
	"portway/route"
)

// Each option is in a golden case of some package.
func TestEveryOptionHasAGoldenCase(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	word := regexp.MustCompile(`\bportway\.([a-z0-9-]+\.)?([a-z0-9.-]+)`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".txtar" {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range word.FindAllStringSubmatch(string(text), -1) {
			used[m[1]+m[2]], used[m[2]] = true, true // with a route's name, or without
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range route.NewParser(proxy.Binders).Schema().Options() {
		if !used[o.Name] {
			t.Errorf("no golden case has portway.%s", o.Name)
		}
	}
}

// Each option is named when somebody doubles a letter in it, and nothing is served
// without it.
func TestEveryOptionMisspelt(t *testing.T) {
	t.Parallel()
	parser := route.NewParser(proxy.Binders)
	for _, o := range parser.Schema().Options() {
		i := strings.LastIndex(o.Name, ".") + 2
		if i > len(o.Name) {
			i = len(o.Name)
		}
		misspelt := o.Name[:i] + o.Name[i-1:]
		labels := map[string]string{label.Key("", misspelt): "x"}
		if misspelt != "hhost" {
			labels[label.Key("", "host")] = "app.example.com"
		}
		routes, problems := parser.Labels("test", labels)
		told := ""
		for _, r := range routes {
			if r.Route != nil {
				t.Errorf("with portway.%s, the route is served", misspelt)
			}
			problems = append(problems, r.Problems...)
		}
		for _, p := range problems {
			told += p.String() + "\n"
		}
		if !strings.Contains(told, "did you mean portway."+o.Name+"?") {
			t.Errorf("portway.%s: %s", misspelt, told)
		}
	}
}
