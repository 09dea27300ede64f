package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const manPage = "../../docs/portway.1"

// docs/portway.1 says what the declaration says.
func TestManPage(t *testing.T) {
	inv, err := parse([]string{"man"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	writeMan(&b, inv.ctx.Model)
	if *update {
		if err := os.WriteFile(manPage, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manPage)
	if err != nil || !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%s is stale (%v); run make generate", manPage, err)
	}
}

// A real bash completes commands, flags and values.
func TestBashCompletion(t *testing.T) {
	t.Parallel()
	inv, err := parse([]string{"completion", "bash"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var script bytes.Buffer
	writeBash(&script, completions(inv.ctx.Model.Node, nil))
	for line, want := range map[string]string{
		"portway ex":                        "explain",
		"portway explain --li":              "--live",
		"portway logs --level w":            "warn",
		"portway logs --level = w":          "warn", // as bash splits --level=w
		"portway cache pu":                  "purge",
		"portway cache purge --al":          "--all",
		"portway completion f":              "fish",
		"portway --log-format j":            "json",
		"portway run --acme-st":             "--acme-staging",
		"portway --config docs_test":        "docs_test.go",
		"portway --control x explain --jso": "--json",
	} {
		words := strings.Fields(line)
		var quoted strings.Builder
		for _, w := range words {
			fmt.Fprintf(&quoted, "%q ", w)
		}
		program := fmt.Sprintf("%s\nCOMP_WORDS=(%s); COMP_CWORD=%d; _portway; echo \"${COMPREPLY[@]}\"", script.String(), quoted.String(), len(words)-1)
		out, err := exec.Command("bash", "-c", program).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q, want %q (%v)", line, got, want, err)
		}
	}
}

// The scripts for other shells have all commands, flags and values.
func TestOtherCompletions(t *testing.T) {
	t.Parallel()
	inv, err := parse([]string{"completion", "zsh"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := completions(inv.ctx.Model.Node, nil)
	var zsh, fish bytes.Buffer
	writeZsh(&zsh, all)
	writeFish(&fish, all)
	for _, want := range []string{"'explain:Tell which way", "'cache purge'", "'--level:Only lines of this level and above", "compadd -- debug info warn error"} {
		if !strings.Contains(zsh.String(), want) {
			t.Errorf("zsh: no %s", want)
		}
	}
	for _, want := range []string{"-n '__fish_seen_subcommand_from logs' -l level", "-x -a 'debug info warn error'", "-l config -d 'Settings file (YAML)' -r -F", "-a explain"} {
		if !strings.Contains(fish.String(), want) {
			t.Errorf("fish: no %s", want)
		}
	}
}
