package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	got := targets("FuzzA\nFuzzB\nok  \tportway/label\t0.01s\n?   \tportway/x\t[no test files]\nok  \tportway/route\t0.01s\nFuzzA\nok  \tportway/proxy/h1\t0.01s\n")
	want := []target{{"portway/label", "FuzzA"}, {"portway/label", "FuzzB"}, {"portway/proxy/h1", "FuzzA"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
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
	r.target, r.clean = target{"portway/proxy/h1", "FuzzRequest"}, true
	if got := strings.Join(strings.Fields(r.line()), " "); got != "proxy/h1 FuzzRequest 10m1s 1,548,097 inputs 477 kept clean" {
		t.Error(got)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fuzzing.md")
	a, b, gone := target{"portway/label", "FuzzA"}, target{"portway/proxy/h1", "FuzzB"}, target{"portway/label", "FuzzGone"}
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
		"| label | FuzzA | 2026-11-22 | 1m0s | 1,000 | 7 | clean |\n| proxy/h1 | FuzzB | never | | | | |\n| label | FuzzGone | 2026-11-22 | 0s | 0 | 0 | **not clean** |\n" {
		t.Error(got)
	}
	if got := write([]target{a, b}, result{target: b, day: day, length: time.Hour, inputs: 12345678, corpus: 9}); got !=
		"| label | FuzzA | 2026-11-22 | 1m0s | 1,000 | 7 | clean |\n| proxy/h1 | FuzzB | 2026-11-22 | 1h0m0s | 12,345,678 | 9 | **not clean** |\n" {
		t.Error(got)
	}
}

// Every target in the module has seeds: f.Add, a helper that f is given to, or
// files in testdata/fuzz.
func TestEveryTargetHasSeeds(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	count := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			count++
			files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "testdata", "fuzz", f.Name.Name, "*"))
			if !seeded(f) && len(files) == 0 {
				t.Errorf("%s: %s has no seeds", path, f.Name.Name)
			}
		}
		return nil
	})
	if err != nil || count < 20 {
		t.Errorf("%d targets, %v", count, err)
	}
}

// seeded tells whether a fuzz function calls f.Add or gives f to another function.
func seeded(f *ast.FuncDecl) (yes bool) {
	name := f.Type.Params.List[0].Names[0].Name
	is := func(e ast.Expr) bool {
		id, ok := e.(*ast.Ident)
		return ok && id.Name == name
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		yes = yes || ok && is(sel.X) && sel.Sel.Name == "Add" || slices.ContainsFunc(call.Args, is)
		return true
	})
	return yes
}
