package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

const lego = "github.com/go-acme/lego/v5"

// provider is one of lego's.
type provider struct {
	Package   string // below lego's providers/dns
	Name      string
	Aliases   []string
	Title     string
	Variables []string // that are about this provider alone, sorted; those that it needs come first
	kind      kind
}

// moduleDir is where the go command has lego's source, of the version in go.mod.
func moduleDir() (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", lego).Output()
	if err != nil {
		return "", fmt.Errorf("go mod download %s: %w", lego, err)
	}
	_, rest, _ := strings.Cut(string(out), `"Dir": "`)
	dir, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return "", fmt.Errorf("go mod download %s tells no folder", lego)
	}
	return dir, nil
}

// read lists lego's providers by name.
func read(dir string) ([]provider, error) {
	base := filepath.Join(dir, "providers", "dns")
	list, err := parser.ParseFile(token.NewFileSet(), filepath.Join(base, "zz_gen_dns_providers.go"), nil, 0)
	if err != nil {
		return nil, err
	}
	var all []provider
	ast.Inspect(list, func(n ast.Node) bool {
		if c, ok := n.(*ast.CaseClause); ok && len(c.List) > 0 {
			if p, ok := readCase(c); ok {
				all = append(all, p)
			}
		}
		return true
	})
	if len(all) < 150 {
		return nil, fmt.Errorf("lego's list has only %d providers: its form has changed", len(all))
	}
	for i := range all {
		if err := all[i].describe(base); err != nil {
			return nil, err
		}
		libraries := make(map[string]bool)
		if err := imports(dir, path.Join(lego, "providers/dns", all[i].Package), map[string]bool{}, libraries); err != nil {
			return nil, err
		}
		all[i].kind = classify(all[i].Package, libraries)
		if all[i].kind == ours {
			all[i].Variables = ourVariables(all[i].Package)
		}
	}
	slices.SortFunc(all, func(a, b provider) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// readCase reads: case "name", "alias": return package.NewDNSProvider().
func readCase(c *ast.CaseClause) (p provider, ok bool) {
	for _, e := range c.List {
		lit, ok := e.(*ast.BasicLit)
		if !ok {
			return p, false
		}
		name, err := strconv.Unquote(lit.Value)
		if err != nil {
			return p, false
		}
		p.Aliases = append(p.Aliases, name)
	}
	p.Name, p.Aliases = p.Aliases[0], p.Aliases[1:]
	if len(c.Body) != 1 {
		return p, false
	}
	ret, ok := c.Body[0].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != 1 {
		return p, false
	}
	call, ok := ret.Results[0].(*ast.CallExpr)
	if !ok {
		return p, false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "NewDNSProvider" {
		return p, false
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return p, false
	}
	p.Package = pkg.Name
	return p, true
}

// describe adds what lego's description of the provider says.
func (p *provider) describe(base string) error {
	var file struct {
		Name          string
		Configuration struct {
			Credentials, Additional map[string]string
		}
	}
	name := filepath.Join(base, p.Package, p.Package+".toml")
	_, err := toml.DecodeFile(name, &file)
	if errors.Is(err, fs.ErrNotExist) {
		p.Title = p.Name
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.Title = file.Name
	p.Variables = slices.DeleteFunc(sorted(file.Configuration.Credentials), func(v string) bool { return strings.Contains(v, " ") }) // a remark
	for _, v := range sorted(file.Configuration.Additional) {
		if !common(v) && !slices.Contains(p.Variables, v) {
			p.Variables = append(p.Variables, v)
		}
	}
	return nil
}

func sorted(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// common tells of a variable that nearly all providers have.
func common(name string) bool {
	for _, suffix := range []string{"_POLLING_INTERVAL", "_PROPAGATION_TIMEOUT", "_SEQUENCE_INTERVAL", "_HTTP_TIMEOUT", "_TTL"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// imports collects the packages of other modules that pkg, which is lego's, needs.
func imports(dir, pkg string, seen, libraries map[string]bool) error {
	if seen[pkg] {
		return nil
	}
	seen[pkg] = true
	folder := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(pkg, lego)))
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, e.Name()), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			host, _, _ := strings.Cut(name, "/")
			switch {
			case strings.HasPrefix(name, lego+"/"):
				if err := imports(dir, name, seen, libraries); err != nil {
					return err
				}
			case strings.Contains(host, "."):
				libraries[name] = true
			}
		}
	}
	return nil
}
