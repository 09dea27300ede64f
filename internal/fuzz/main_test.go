package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every target in the module has inputs to begin with, and none is overlooked.
func TestTargetsHaveSeeds(t *testing.T) {
	t.Parallel()
	all, err := targets("portway/...")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range all {
		if !target.seeded {
			t.Errorf("%v has no seeds", target)
		}
	}
	for _, name := range []string{"proxy/h1 FuzzRequest", "proxy/h2 FuzzFrames", "label FuzzLabels"} {
		if !slices.ContainsFunc(all, func(target target) bool { return target.String() == name }) {
			t.Errorf("%s was not found among %v", name, all)
		}
	}
}

func TestSeeds(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		"f.Add(1); f.Fuzz(func(t *testing.T, n int) {})":  true,
		"table(f); f.Fuzz(func(t *testing.T, n int) {})":  true,
		"f.Fuzz(func(t *testing.T, n int) { add(n, 1) })": false,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x; func FuzzX(f *testing.F) {"+body+"}", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := seeds(file.Decls[0].(*ast.FuncDecl)); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}

const said = `fuzz: elapsed: 0s, gathering baseline coverage: 0/192 completed
fuzz: elapsed: 3s, execs: 325017 (108336/sec), new interesting: 11 (total: 202)
fuzz: elapsed: 10m1s, execs: 1548097 (0/sec), new interesting: 121 (total: 477)
PASS
ok  	portway/proxy/h1	601.361s
`

func TestParse(t *testing.T) {
	t.Parallel()
	r := parse(said)
	if r.length != 601*time.Second || r.inputs != 1548097 || r.corpus != 477 || r.output != "PASS\nok  \tportway/proxy/h1\t601.361s\n" {
		t.Errorf("%+v", r)
	}
	r.target, r.clean = target{pkg: "portway/proxy/h1", name: "FuzzRequest"}, true
	if got := strings.Join(strings.Fields(r.line()), " "); got != "proxy/h1 FuzzRequest 10m1s 1,548,097 inputs 477 kept clean" {
		t.Error(got)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fuzzing.md")
	a, b, gone := target{pkg: "portway/label", name: "FuzzA"}, target{pkg: "portway/proxy/h1", name: "FuzzB"}, target{pkg: "portway/label", name: "FuzzGone"}
	write := func(all []target, results ...result) string {
		t.Helper()
		if err := writeReport(path, all, results); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, table, _ := strings.Cut(string(text), "|---|---|---|---:|---:|---:|---|\n")
		return table
	}
	day := "2026-11-22"
	if got := write([]target{a, b, gone}, result{target: a, day: day, length: time.Minute, inputs: 1000, corpus: 7, clean: true}, result{target: gone, day: day}); got !=
		"| label | FuzzA | 2026-11-22 | 1m0s | 1,000 | 7 | clean |\n| proxy/h1 | FuzzB | not yet | | | | |\n| label | FuzzGone | 2026-11-22 | 0s | 0 | 0 | **not clean** |\n" {
		t.Error(got)
	}
	if got := write([]target{a, b}, result{target: b, day: day, length: time.Hour, inputs: 12345678, corpus: 9}); got !=
		"| label | FuzzA | 2026-11-22 | 1m0s | 1,000 | 7 | clean |\n| proxy/h1 | FuzzB | 2026-11-22 | 1h0m0s | 12,345,678 | 9 | **not clean** |\n" {
		t.Error(got)
	}
}
