package main

import (
	"os"
	"strings"
	"testing"

	"portway/label"
	"portway/route"
)

// The page in docs is what the options of this program give.
func TestPageIsUpToDate(t *testing.T) {
	t.Parallel()
	got, err := os.ReadFile("../../docs/labels.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := render()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/labels.md is stale: run go generate ./route")
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	got := table([]label.Option{
		{Name: "mode", Type: "a | b | c", Values: []string{"a", "b", "c"}, Default: "a", Doc: "This | that."},
		{Name: "users", Type: "text", Secret: true, Example: "file:/run/secrets/users"},
		{Name: "port", Type: "number", Min: 1, Max: 9},
	})
	want := strings.TrimSpace(`
| Label | Meaning | Value | Default | Example |
|---|---|---|---|---|
| ` + "`portway.mode` | This \\| that. | `a`, `b` or `c` | `a` | –" + ` |
| ` + "`portway.users` |  | text, secret | – | `file:/run/secrets/users`" + ` |
| ` + "`portway.port` |  | number from 1 to 9 | – | –" + ` |`)
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// The messages that the page shows are those that a user gets.
func TestPageShowsRealMessages(t *testing.T) {
	t.Parallel()
	page, err := render()
	if err != nil {
		t.Fatal(err)
	}
	routes, problems := route.NewParser(nil).Labels(`container "app-1"`, map[string]string{
		"portway.hots": "a", "portway.port": "http", "portwya.host": "a",
	})
	problems = append(problems, routes[0].Problems...)
	if len(problems) != 3 {
		t.Errorf("%d problems, want 3", len(problems))
	}
	for _, p := range problems {
		if !strings.Contains(page, "\n"+p.String()+"\n") {
			t.Errorf("the page does not show: %s", p)
		}
	}
}
