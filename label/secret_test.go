package label_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"portway/label"
)

func TestSecretValues(t *testing.T) {
	t.Setenv("PORTWAY_TEST_SECRET", "from the environment")
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("users", "from a file\r\n")
	link := filepath.Join(dir, "link") // as orchestrators mount secrets
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"literal":                 "literal",
		"file:" + file:            "from a file",
		"file:" + link:            "from a file",
		"env:PORTWAY_TEST_SECRET": "from the environment",
		"filed":                   "filed",
		"environment":             "environment",
	} {
		k, problems := parse(label.Values{"basic-auth.users": value})
		if len(problems) > 0 || k.Users != want {
			t.Errorf("%s is read as %q, want %q %v", value, k.Users, want, problems)
		}
	}
	// An option that is not secret reads no files.
	if k, _ := parse(label.Values{"title": "file:" + file}); k.Title != "file:"+file {
		t.Errorf("title is read as %q", k.Title)
	}
}

// Each failure tells what to do, at once, and shows no more than the name of a
// file or variable.
func TestUnreadableSecrets(t *testing.T) {
	t.Setenv("PORTWAY_TEST_EMPTY", "")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(path("empty"), []byte("\n"), 0o600),
		os.WriteFile(path("large"), make([]byte, 1<<20+1), 0o600),
		syscall.Mkfifo(path("pipe"), 0o600),
		os.Mkdir(path("folder"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	const (
		badFile = "; give a file that Portway itself can read, for example a secret that is mounted into its container"
		badEnv  = " is not set, or empty, in Portway's environment; set it for Portway itself, not for this container"
	)
	for value, want := range map[string]string{
		"":                       "is empty; give it a value or remove it",
		"file:" + path("none"):   `the file "` + path("none") + `" cannot be read: no such file or directory` + badFile,
		"file:" + path("empty"):  `the file "` + path("empty") + `" is empty` + badFile,
		"file:" + path("large"):  `the file "` + path("large") + `" is larger than 1 MiB` + badFile,
		"file:" + path("pipe"):   `the file "` + path("pipe") + `" is not a regular file` + badFile,
		"file:" + path("folder"): `the file "` + path("folder") + `" is not a regular file` + badFile,
		"file:/dev/zero":         `the file "/dev/zero" is not a regular file` + badFile,
		"file:hunter2":           "what follows file: is no absolute path; write file:/path of a file that Portway can read",
		"file:":                  "what follows file: is no absolute path; write file:/path of a file that Portway can read",
		"env:PORTWAY_TEST_EMPTY": "the variable PORTWAY_TEST_EMPTY" + badEnv,
		"env:PORTWAY_TEST_NONE":  "the variable PORTWAY_TEST_NONE" + badEnv,
		"env:hunter 2":           "what follows env: is no name of a variable; write env:NAME with the name of a variable in Portway's environment",
		"env:":                   "what follows env: is no name of a variable; write env:NAME with the name of a variable in Portway's environment",
	} {
		k, problems := parse(label.Values{"basic-auth.users": value})
		if len(problems) != 1 || problems[0].Why+"; "+problems[0].Fix != want || k.Users != "" {
			t.Errorf("%q: %v, read as %q\nwant: %s", value, problems, k.Users, want)
		}
	}
}

// What a parser says about a secret is shown only if its author vouches for it.
func TestSecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	const secret = "hunter2:hunter3"
	complain := func(err error) string {
		bind := binder(func(s *label.Set) {
			s.Func("users", "users and password hashes", "", func(string) error { return err }, label.Secret())
		})
		problems := label.Parse("", strings.Clone, label.Values{"users": secret}, bind)
		if len(problems) != 1 {
			t.Fatalf("%d problems, want 1", len(problems))
		}
		return problems[0].String()
	}
	const hidden = "users: cannot be used as users and password hashes; the value is secret and not shown"
	for _, err := range []error{
		errors.New("bad: " + secret),
		&label.Error{Why: secret + " is bad"},
		&label.Error{Why: "bad", Fix: "write hunter2"},
	} {
		if got := complain(err); got != hidden {
			t.Errorf("%v is shown as %s", err, got)
		}
	}
	if got, want := complain(&label.Error{Why: "line 3 has no colon", Safe: true}), "users: line 3 has no colon"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, problems := parse(label.Values{"pin": "hunter2"}); len(problems) != 1 || strings.Contains(problems[0].String(), "hunter2") {
		t.Errorf("secret number: %v", problems)
	}
}
