package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// targets finds the fuzz functions of packages, without building their tests.
func targets(packages string) (all []target, err error) {
	const format = `{{$d := .Dir}}{{$p := .ImportPath}}{{range .TestGoFiles}}{{$p}} {{$d}}/{{.}}
{{end}}{{range .XTestGoFiles}}{{$p}} {{$d}}/{{.}}
{{end}}`
	listed, err := exec.Command("go", "list", "-f", format, packages).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	for line := range strings.Lines(string(listed)) {
		pkg, path, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "testdata", "fuzz", f.Name.Name, "*"))
				all = append(all, target{pkg, f.Name.Name, seeds(f) || len(files) > 0})
			}
		}
	}
	return all, nil
}

// seeds tells whether a fuzz function calls f.Add or gives f to another function.
func seeds(f *ast.FuncDecl) (yes bool) {
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
