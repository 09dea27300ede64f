// Command testreport makes the output of "go test -json" readable: what go test
// itself prints, plus what plain go test hides: the tests that were skipped,
// with their reasons, and the figures that tests log in lines which start with
// FIGURES.
//
//	go test -json ./... | go run ./internal/testreport
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := report(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
}

type printer struct {
	out     io.Writer
	tests   map[string]*strings.Builder // output by package and test, while it runs
	skipped []skip
	figures []string
	err     error
}

// skip is a test that did not run; another go test in the same stream, for
// example without the race detector, may still run it.
type skip struct{ key, text string }

func report(in io.Reader, out io.Writer) error {
	p := &printer{out: out, tests: map[string]*strings.Builder{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			p.print(lines.Text() + "\n") // not from a test, such as a note of the go command
			continue
		}
		p.event(e)
	}
	p.list("\nFIGURES:\n", p.figures)
	var skipped []string
	for _, s := range p.skipped {
		skipped = append(skipped, s.text)
	}
	p.list("\nDID NOT RUN:\n", skipped)
	if err := lines.Err(); err != nil {
		return err
	}
	return p.err
}

func (p *printer) event(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		p.print(e.Output)
	case "output":
		if _, figure, ok := strings.Cut(e.Output, "FIGURES "); ok {
			p.figures = append(p.figures, strings.TrimPrefix(e.Package, "portway/")+": "+figure)
		}
		if p.tests[key] == nil {
			p.tests[key] = &strings.Builder{}
		}
		p.tests[key].WriteString(e.Output)
	case "skip":
		if e.Test != "" {
			p.skipped = append(p.skipped, skip{key, strings.TrimPrefix(key, "portway/") + "\n" + indent(p.text(key))})
			break
		}
		p.print(p.text(key)) // a package without tests
	case "pass", "fail":
		text := p.text(key)
		p.skipped = slices.DeleteFunc(p.skipped, func(s skip) bool { return s.key == key })
		if e.Test == "" || e.Action == "fail" {
			p.print(quiet(text))
		}
	}
}

// text takes the output that was kept for a test or, without one, its package.
func (p *printer) text(key string) string {
	b := p.tests[key]
	delete(p.tests, key)
	if b == nil {
		return ""
	}
	return b.String()
}

// quiet leaves out what only the verbose mode, which -json implies, prints.
func quiet(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "=== ") && line != "PASS\n" {
			b.WriteString(line)
		}
	}
	return b.String()
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(quiet(text)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--- SKIP") {
			b.WriteString("\t" + strings.TrimSpace(line) + "\n")
		}
	}
	return b.String()
}

func (p *printer) list(title string, entries []string) {
	if len(entries) == 0 {
		return
	}
	p.print(title)
	for _, e := range entries {
		p.print(e)
	}
}

func (p *printer) print(text string) {
	if _, err := io.WriteString(p.out, text); err != nil && p.err == nil {
		p.err = err
	}
}
