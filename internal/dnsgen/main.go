// Command dnsgen writes what certs/dns knows about lego's DNS providers, and the
// page about them, from lego's module: which there are, their other names, and the
// environment variables that they read. It takes the folder of certs/dns and the
// page's name.
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed providers.go.tmpl
var codeTemplate string

//go:embed dns-providers.md.tmpl
var pageTemplate string

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: dnsgen FOLDER PAGE")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "dnsgen:", err)
		os.Exit(1)
	}
}

func generate(folder, page string) error {
	files, err := render()
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(folder, name)
		if name == pageFile {
			path = page
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// What is written; the page stands elsewhere.
const (
	lightFile = "light_gen.go"
	heavyFile = "heavy_gen.go"
	pageFile  = "dns-providers.md"
)

// render gives the content of all files.
func render() (map[string][]byte, error) {
	dir, err := moduleDir()
	if err != nil {
		return nil, err
	}
	providers, err := read(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for name, set := range map[string]codeSet{
		lightFile: {"light", "", "every build has", pick(providers, light)},
		heavyFile: {"heavy", "//go:build " + allTag + "\n", "only builds with the tag " + allTag + " have", pick(providers, heavy, ours)},
	} {
		code, err := execute(codeTemplate, set)
		if err != nil {
			return nil, err
		}
		if files[name], err = format.Source(code); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	files[pageFile], err = execute(pageTemplate, map[string]any{
		"Light": pick(providers, light, ours), "Heavy": pick(providers, heavy), "Absent": pick(providers, absent), "Tag": allTag,
	})
	return files, err
}

// codeSet is the providers of one file of code.
type codeSet struct {
	Func, Build, Who string
	Providers        []provider
}

func execute(text string, data any) ([]byte, error) {
	t, err := template.New("").Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, data)
	return b.Bytes(), err
}
