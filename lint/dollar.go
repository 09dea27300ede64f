package lint

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"

	"portway/label"
)

// hash is a password's as htpasswd writes it. Where a $ of it is alone, Compose takes what
// follows for a variable.
var hash = regexp.MustCompile(`\$+(?:2[abxy]?\$+[0-9]{2}\$+[./A-Za-z0-9]{20,}|(?:apr1|1|5|6)\$+[^$,\s]+\$+[./A-Za-z0-9]{20,})`)

// single is a $ that is no half of $$.
func single(text string) bool {
	return strings.Contains(strings.ReplaceAll(text, "$$", ""), "$")
}

// whole doubles each $ of hashes that has one which is not.
func whole(text string) string {
	return hash.ReplaceAllStringFunc(text, func(h string) string {
		if !single(h) {
			return h
		}
		return strings.ReplaceAll(strings.ReplaceAll(h, "$$", "$"), "$", "$$")
	})
}

// lookAtSources looks at labels before variables are put in.
func (l *linter) lookAtSources() {
	for _, p := range l.projects {
		p.places.labels(func(e entry) {
			if !strings.HasPrefix(e.key, label.Prefix) {
				return
			}
			for _, h := range hash.FindAllString(e.value, -1) {
				if single(h) {
					l.add(Finding{
						Level: Error, Rule: "dollar", Service: e.service, Label: e.key,
						Why: "has a hash with a single $, which Compose takes for the beginning of a variable, so that Portway gets something else",
						Fix: "write every $ of it twice ($$), or keep it in a file: file:/run/secrets/users",
					}.at(e.place))
					break
				}
			}
		})
	}
}

// variables tells about those that labels use and nobody sets.
func (l *linter) variables(p *project, lookup template.Mapping) {
	p.places.labels(func(e entry) {
		if !strings.HasPrefix(e.key, label.Prefix) {
			return
		}
		used := template.ExtractVariables(map[string]any{"": whole(e.value)}, template.DefaultPattern)
		for _, name := range slices.Sorted(maps.Keys(used)) {
			v := used[name]
			if _, set := lookup(name); set || v.DefaultValue != "" || v.PresenceValue != "" || v.Required || optional(e.value, name) {
				continue
			}
			l.add(Finding{
				Level: Warning, Rule: "variable", Service: e.service, Label: e.key,
				Why: "uses the variable " + name + ", which is not set, so that nothing is in its place",
				Fix: "set it in the environment or in .env beside the compose file, write ${" + name + ":?why}, or $$ if a $ is meant",
			}.at(e.place))
		}
	})
}

// optional tells whether a text says what is to be there without the variable, and be it
// nothing.
func optional(text, name string) bool {
	return strings.Contains(text, "${"+name+"-") || strings.Contains(text, "${"+name+":-")
}
