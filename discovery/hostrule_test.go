package discovery

import (
	"strings"
	"testing"

	"portway/route"
)

func TestHostRule(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rule, container, service, project, want string }{
		{"{service}.example.com", "blog-web-1", "web", "blog", "web.example.com"},
		{"{service}.example.com", "web", "", "", "web.example.com"},
		{"{service}.{project}.Example.com.", "c", "web", "blog", "web.blog.example.com"},
		{"{service}-{project}.example.com", "c", "web_app", "My.Blog", "web-app-my-blog.example.com"},
		{"x-{container}.lan", "/__a..b__/", "", "", "x-a-b.lan"},
		{"{service}", "Whoami", "", "", "whoami"},
		{"{service}.bücher.example", "a", "", "", "a.xn--bcher-kva.example"},
		{"{service}.{project}.example.com", "c", "web", "", "error: the container has no {project}"},
		{"{service}.example.com", "___", "", "", `error: its {service}, "___", has no letter or digit`},
		{"{service}.example.com", strings.Repeat("a", 64), "", "", "longer than 63 characters"},
		{"{service}.1", "1", "", "", "is refused: "},
		{"", "", "", "", "is refused: would give all containers the same host"},
		{"app.example.com", "", "", "", "is refused: would give all containers the same host"},
		{"{project}.example.com", "", "", "", "is refused: would give all containers the same host"},
		{"*.{service}.example.com", "", "", "", "is refused: has a *"},
		{"{servce}.example.com", "", "", "", "is refused: has a placeholder that is not known: {servce}; did you mean {service}?"},
		{"{name}.example.com", "", "", "", "there are {service}, {project} and {container}"},
		{"{service.example.com", "", "", "", "is refused: has a placeholder"},
		{"service}.example.com", "", "", "", "is refused: has a } without a {"},
		{"https://{service}.example.com", "", "", "", "is refused: "},
		{"{service}.example.com:443", "", "", "", "is refused: "},
		{"{service} {container}", "", "", "", "is refused: "},
	} {
		r, err := ParseHostRule(tt.rule)
		got := ""
		if err != nil {
			got = "is refused: " + err.Error()
		} else if got, err = r.host(tt.container, tt.service, tt.project); err != nil {
			got = "error: " + err.Error()
		}
		if got != tt.want && (!strings.Contains(tt.want, " ") || !strings.Contains(got, tt.want)) {
			t.Errorf("%s with %q %q %q\n got: %s\nwant: %s", tt.rule, tt.container, tt.service, tt.project, got, tt.want)
		}
	}
}

// Whatever rule and names there are, what comes of them is a host, below the domain
// that the rule ends in.
func FuzzHostRule(f *testing.F) {
	f.Add("{service}.example.com", "c", "s", "p")
	f.Add("{service}-{project}.{container}.x", "../a", "b_c", ".")
	f.Add("{service}{container}", "1", "1", "1")
	f.Add("{ service }.{", "", "", "")
	f.Fuzz(func(t *testing.T, rule, container, service, project string) {
		r, err := ParseHostRule(rule)
		if err != nil {
			return
		}
		host, err := r.host(container, service, project)
		if err != nil {
			return
		}
		again, err := route.CompileHost(host)
		if err != nil || again != host || strings.HasPrefix(host, "*") {
			t.Errorf("%q with %q %q %q gives %q (%v)", rule, container, service, project, host, err)
		}
		domain := rule[strings.LastIndexByte(rule, '}')+1:]
		if strings.HasPrefix(domain, ".") {
			if plain, err := route.CompileHost("x" + domain); err == nil && !strings.HasSuffix(host, plain[1:]) {
				t.Errorf("%q leads out of %q: %q", container, rule, host)
			}
		}
		if dots := strings.Count(host, "."); dots > strings.Count(rule, ".")+strings.Count(rule, "。") && !strings.ContainsFunc(rule, func(c rune) bool { return c > 127 }) {
			t.Errorf("%q with %q %q %q gives more labels: %q", rule, container, service, project, host)
		}
	})
}
