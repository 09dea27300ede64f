package exampletest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"portway/label"
	"portway/proxy"
	"portway/route"
)

// elsewhere are the first words of options that have tests and docs of their own
// instead of a place in every corner of an example.
var elsewhere = map[string]bool{"cache": true, "tls": true, "origin-tls": true}

// Whatever a label can do is shown by an example.
func TestEveryOptionIsInAnExample(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../compose-examples/*/compose.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	shown := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var compose struct {
			Services map[string]struct{ Labels map[string]string }
		}
		if err := yaml.Unmarshal(text, &compose); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, service := range compose.Services {
			for key := range service.Labels {
				option := strings.TrimPrefix(key, label.Prefix)
				shown[option] = true
				if _, named, ok := strings.Cut(option, "."); ok { // portway.<route>.<option>
					shown[named] = true
				}
			}
		}
	}
	options := route.NewParser(proxy.Binders).Schema().Options()
	if len(options) < 100 {
		t.Fatalf("only %d options", len(options))
	}
	for _, o := range options {
		if first, _, _ := strings.Cut(o.Name, "."); !elsewhere[first] && !shown[o.Name] {
			t.Errorf("no example shows portway.%s", o.Name)
		}
	}
}
