package middleware

import (
	"strings"
	"testing"

	"portway/label"
)

// The documentation names every placeholder there is.
func TestPlaceholdersAreDocumented(t *testing.T) {
	t.Parallel()
	doc := label.Describe(&requestHeaders{}).Options()[0].Doc
	for _, p := range placeholders {
		if !strings.Contains(doc, "`{"+p.name+"}`") {
			t.Errorf("{%s} is not among the placeholders of request-headers", p.name)
		}
	}
	if n := strings.Count(doc, "`{"); n != len(placeholders) {
		t.Errorf("%d placeholders are documented, there are %d", n, len(placeholders))
	}
}

// Braces that hold no word are text, as in JSON, and text is not changed.
func TestTemplates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "",
		"plain":                     "plain",
		"{method}":                  "GET",
		"<{method}{method}>":        "<GETGET>",
		`{"group":"a","max_age":1}`: `{"group":"a","max_age":1}`,
		"{}{ method }{Method}{a1}{": "{}{ method }{Method}{a1}{",
		"{{method}}":                "{GET}",
	} {
		tmpl, err := parseTemplate(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		ex := request(t, "GET /")
		if got := string(tmpl.value(ex)); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
		finish(ex)
	}
}
