package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"portway/label"
	"portway/proxy"
	"portway/proxy/cache"
	"portway/proxy/middleware"
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

// What a label can say is on the page once.
func TestEveryOptionIsInOneTable(t *testing.T) {
	t.Parallel()
	page, err := render()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range route.NewParser(proxy.Binders).Schema().Options() {
		if n := strings.Count(page, "\n| `portway."+o.Name+"` |"); n != 1 {
			t.Errorf("portway.%s is in %d tables", o.Name, n)
		}
	}
}

// The page tells the order in which requests really pass.
func TestOrderOnPage(t *testing.T) {
	t.Parallel()
	page, err := render()
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(page, "\n### Order\n")
	text, _, _ = strings.Cut(text, ". So\n")
	var told, actual []string
	for i, word := range strings.Split(text, "`") {
		if i%2 == 1 {
			told = append(told, word)
		}
	}
	for _, o := range label.Describe(slices.Concat(middleware.BeforeCache(), []label.Binder{&cache.Options{}}, middleware.BehindCache())...).Options() {
		if word, _, _ := strings.Cut(o.Name, "."); !slices.Contains(actual, word) {
			actual = append(actual, word)
		}
	}
	if !slices.Equal(told, actual) {
		t.Errorf("the page says\n%s\nand requests pass\n%s", told, actual)
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
