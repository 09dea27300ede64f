package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// result is what a run of one target came to.
type result struct {
	target target
	day    string
	length time.Duration
	inputs int // tried
	corpus int // kept, since they reach different code
	clean  bool
	output string // of go test, without its progress
}

func (r result) line() string {
	verdict := "clean"
	if !r.clean {
		verdict = "FOUND SOMETHING"
	}
	return fmt.Sprintf("%-50s %8v %12s inputs %6d kept  %s", r.target, r.length, thousands(r.inputs), r.corpus, verdict)
}

var progress = regexp.MustCompile(`^fuzz: elapsed: (\S+), execs: (\d+) .*\(total: (\d+)\)`)

// parse reads what go test -fuzz prints.
func parse(output string) (r result) {
	var rest strings.Builder
	for line := range strings.Lines(output) {
		if m := progress.FindStringSubmatch(line); m != nil {
			r.length, _ = time.ParseDuration(m[1])
			r.inputs, _ = strconv.Atoi(m[2])
			r.corpus, _ = strconv.Atoi(m[3])
		} else if !strings.HasPrefix(line, "fuzz: elapsed: ") {
			rest.WriteString(line)
		}
	}
	r.output = rest.String()
	return r
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

const intro = `# Fuzzing

Every parser of outside input has a fuzz target with a seed corpus, and go test
tries the seeds and all that was ever found each time. This is the last long run of
each target, written by ` + "`make fuzz FUZZTIME=10m REPORT=docs/fuzzing.md`" + `. *Kept* are inputs
that reach code which no other does; *not yet* says that a target had no long run.

| Package | Target | Day | Time | Inputs | Kept | Result |
|---|---|---|---:|---:|---:|---|
`

// writeReport puts results into the table of the file at path. Lines of other
// targets stay, and those of targets that are no more are dropped; a target that
// never ran has a line that says so.
func writeReport(path string, all []target, results []result) error {
	rows := map[string]string{}
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for line := range strings.Lines(string(old)) {
		if cells := strings.Split(line, "|"); len(cells) == 9 {
			rows[strings.TrimSpace(cells[1])+" "+strings.TrimSpace(cells[2])] = line
		}
	}
	for _, r := range results {
		verdict := "clean"
		if !r.clean {
			verdict = "**not clean**"
		}
		rows[r.target.String()] = fmt.Sprintf("| %s | %s | %s | %s | %d | %s |\n", row(r.target), r.day, r.length, thousands(r.inputs), r.corpus, verdict)
	}
	text := intro
	for _, t := range all {
		line := rows[t.String()]
		if line == "" {
			line = fmt.Sprintf("| %s | not yet | | | | |\n", row(t))
		}
		text += line
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// row is the begin of t's line.
func row(t target) string {
	folder, name, _ := strings.Cut(t.String(), " ")
	return folder + " | " + name
}
