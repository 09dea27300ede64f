// Command fuzz runs every fuzz target of the module, one after the other, and
// says of each in one line how many inputs it tried and whether it is clean.
//
//	go run ./internal/fuzz -time 10m -report docs/fuzzing.md
//
// A target that finds something does not stop the others; the input that it found
// is in testdata/fuzz of its package, where every later go test tries it again.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

func main() {
	length := flag.Duration("time", 30*time.Second, "how long each target runs")
	only := flag.String("only", "", "regular expression for the targets to run, such as 'proxy/h1 FuzzRequest'; default: all")
	report := flag.String("report", "", "Markdown file in which the lines of these targets are replaced")
	parallel := flag.Int("parallel", 1, "workers of each target")
	flag.Parse()
	if err := run(os.Stdout, *length, *only, *report, *parallel); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// target is one fuzz function.
type target struct {
	pkg, name string
	seeded    bool // it has inputs to begin with
}

func (t target) String() string {
	_, folder, _ := strings.Cut(t.pkg, "/") // the module's name says nothing
	return folder + " " + t.name
}

var errFound = errors.New("some targets are not clean")

func run(out io.Writer, length time.Duration, only, report string, parallel int) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	all, err := targets("portway/...")
	if err != nil {
		return err
	}
	var results []result
	clean := true
	for _, t := range all {
		if !pattern.MatchString(t.String()) {
			continue
		}
		r := fuzz(t, length, parallel)
		fmt.Fprintln(out, r.line())
		if !r.clean {
			clean = false
			fmt.Fprintf(out, "%s\n", r.output)
		}
		results = append(results, r)
		if report != "" { // after each, since all take hours
			if err := writeReport(report, all, results); err != nil {
				return err
			}
		}
	}
	switch {
	case len(results) == 0:
		return fmt.Errorf("no target matches %q", only)
	case !clean:
		return errFound
	}
	return nil
}

// fuzz runs t for a while.
func fuzz(t target, length time.Duration, parallel int) result {
	var output bytes.Buffer
	// Inputs that reach new code are made smaller for 5 s instead of a minute: where
	// goroutines take part, what an input reaches is a matter of chance, and all the time
	// would go into that.
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", length.String(),
		"-fuzzminimizetime", "5s", "-parallel", fmt.Sprint(parallel), t.pkg)
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	r := parse(output.String())
	r.target, r.day, r.clean = t, time.Now().UTC().Format(time.DateOnly), err == nil
	return r
}
