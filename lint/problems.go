package lint

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"portway/label"
	"portway/route"
)

func (l *linter) add(f Finding) { l.report.Findings = append(l.report.Findings, f) }

// at says where f is.
func (f Finding) at(p place) Finding {
	f.File, f.Line, f.Column = p.file, p.line, p.column
	return f
}

// of says which service f is about, and which label, and where that is.
func (f Finding) of(s *service, key string) Finding {
	f.Service, f.Label = s.Name, key
	if key != "" {
		if at, ok := s.project.places.find(s.Name, "labels", key); ok {
			return f.at(at)
		}
	}
	return f.at(s.project.places.service(s.Name))
}

// sort orders findings by place, those without one first, and drops what is said twice.
func (l *linter) sort() {
	slices.SortStableFunc(l.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Why, b.Why))
	})
	l.report.Findings = slices.Compact(l.report.Findings)
}

// fileLine is the Source of a Problem about a static file.
var fileLine = regexp.MustCompile(`^(.+\.ya?ml)(?::([0-9]+))?$`)

// lookAtProblems tells what the running Portway would complain about.
func (l *linter) lookAtProblems(t *route.Table) {
	told := make(map[string]bool) // labels that were told about
	for _, f := range l.report.Findings {
		if f.Rule == "dollar" {
			told[f.Service+" "+f.Label] = true
		}
	}
	for _, p := range t.Problems() {
		f := Finding{Level: Error, Rule: ruleOf(p), Why: l.words(p.Why), Fix: l.words(p.Fix), Label: p.Key}
		s := l.byContainer(p.Source)
		if s == nil {
			if m := fileLine.FindStringSubmatch(p.Source); m != nil {
				f.File, f.Line = m[1], 0
				if l.static != "" && !strings.Contains(m[1], string(filepath.Separator)) {
					f.File = filepath.Join(l.static, m[1])
				}
				f.Line, _ = strconv.Atoi(m[2])
			} else {
				f.Why = l.words(p.Source) + " " + f.Why
			}
			l.add(f)
			continue
		}
		if told[s.Name+" "+p.Key] {
			continue
		}
		if l.later[laterKey(s, p.Key)] {
			f.Level, f.Rule, f.Why, f.Fix = Note, "elsewhere", "what it names is not on this machine, so its value is not looked at", ""
		}
		if strings.Contains(f.Fix, "docker network connect") { // does not outlast the container
			f.Fix = "name a network of Portway's below networks: of the service, or the other way round"
		}
		key := p.Key
		if key == "" && f.Rule == "conflict" {
			key = s.hostLabel()
		}
		f = f.of(s, key)
		f.Label = p.Key
		l.add(f)
	}
}

// ruleOf sorts Problems by what they are about.
func ruleOf(p label.Problem) string {
	switch {
	case strings.HasPrefix(p.Why, "unknown"):
		return "unknown-label"
	case strings.HasSuffix(p.Key, ".port"):
		return "port"
	case strings.HasSuffix(p.Key, ".network") || strings.Contains(p.Why, "network"):
		return "network"
	case p.Key != "":
		return "value"
	}
	return "conflict"
}

// hostLabel is a label that gives the service's host, for what is about no label alone.
func (s *service) hostLabel() string {
	var keys []string
	for key := range s.labels {
		if strings.HasPrefix(key, label.Prefix) && (strings.HasSuffix(key, ".host") || strings.HasSuffix(key, ".host.regexp")) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if keys == nil {
		return ""
	}
	return keys[0]
}

// container is how Problems name one.
var containerName = regexp.MustCompile(`container "([^"]+)"`)

func (l *linter) byContainer(source string) *service {
	m := containerName.FindStringSubmatch(source)
	if m == nil || m[0] != source {
		return nil
	}
	return l.named(m[1])
}

func (l *linter) named(container string) *service {
	for _, s := range l.services {
		if s.container == container {
			return s
		}
	}
	return nil
}

// words names services where there would be containers.
func (l *linter) words(text string) string {
	return containerName.ReplaceAllStringFunc(text, func(m string) string {
		s := l.named(containerName.FindStringSubmatch(m)[1])
		switch {
		case s == nil:
			return m
		case len(l.projects) > 1:
			return "service " + strconv.Quote(s.project.Name+"/"+s.Name)
		}
		return "service " + strconv.Quote(s.Name)
	})
}

// lookAtPorts tells once where only images can say which port is meant.
func (l *linter) lookAtPorts(t *route.Table) {
	var names []string
	for _, s := range l.services {
		if s.unknown && slices.ContainsFunc(t.Sources(), func(x *route.Source) bool { return l.byContainer(x.Source) == s && asksImage(x) }) {
			names = append(names, s.Name)
		}
	}
	if names != nil {
		l.add(Finding{
			Level: Note, Rule: "port-unknown",
			Why: "which port is meant is up to the images of " + strings.Join(names, ", ") + ": each has to EXPOSE exactly one",
			Fix: "where that is not so, say it: " + label.Prefix + "port: \"8080\"",
		})
	}
}

// asksImage tells whether a route of a container needs a port that no label says.
func asksImage(source *route.Source) bool {
	return slices.ContainsFunc(source.Parts, func(p route.Part) bool {
		return p.RouteID != "" && len(given(p.Settings, append([]string{"port"}, answering...))) == 0
	})
}

// setting finds what is said about an option, nil if nothing is.
func setting(all []route.Setting, option string) *route.Setting {
	for i := range all {
		if all[i].Option == option {
			return &all[i]
		}
	}
	return nil
}
