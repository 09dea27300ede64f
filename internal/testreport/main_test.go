package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What go test -json really says about a module with every outcome.
func TestReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":                "module example\n",
		"good/good_test.go":     "package good\nimport \"testing\"\nfunc TestGood(t *testing.T) { t.Log(\"noise\"); t.Log(\"FIGURES 7 apples\") }\nfunc TestAbsent(t *testing.T) { t.Skip(\"no engine here\") }\n",
		"bad/bad_test.go":       "package bad\nimport \"testing\"\nfunc TestBad(t *testing.T) { t.Run(\"sub\", func(t *testing.T) { t.Error(\"wrong answer\") }) }\n",
		"broken/b_test.go":      "package broken\nvar x int = \"\"\n",
		"panics/panics_test.go": "package panics\nimport \"testing\"\nfunc TestPanic(t *testing.T) { panic(\"oh no\") }\n",
		"none/none.go":          "package none\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-json", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	stream, err := cmd.Output()
	if err == nil {
		t.Fatal("go test succeeded")
	}
	var b strings.Builder
	if err := report(strings.NewReader(string(stream)), &b); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{
		"ok  \texample/good", "FAIL\texample/bad", "FAIL\texample/broken [build failed]", "FAIL\texample/panics", "no test files",
		"--- FAIL: TestBad/sub", "wrong answer", "cannot use \"\"", "panic: oh no",
		"FIGURES:\nexample/good: 7 apples\n", "DID NOT RUN:\nexample/good TestAbsent\n", "\tgood_test.go:4: no engine here\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, noise := range []string{"noise", "=== RUN", "\"Action\""} {
		if strings.Contains(got, noise) {
			t.Errorf("%q is shown", noise)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// What one go test skips, such as a count of allocations under the race
// detector, another one in the same stream may run.
func TestSkippedAndThenRun(t *testing.T) {
	t.Parallel()
	const stream = `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: not with -race\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:1: no engine\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}
{"Action":"pass","Package":"p","Test":"TestA"}
`
	var b strings.Builder
	if err := report(strings.NewReader(stream), &b); err != nil {
		t.Fatal(err)
	}
	if want := "\nDID NOT RUN:\np TestB\n\tb_test.go:1: no engine\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
