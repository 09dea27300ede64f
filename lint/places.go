package lint

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// places finds where in the files of a project something is written. It follows what is
// included and extended, without any of Compose's rules of merging: where a thing is
// written several times, the last file that has it is meant.
type places struct {
	files []composeFile
}

type composeFile struct {
	path     string
	services *yaml.Node
}

// place is where something is written.
type place struct {
	file         string
	order        int // of the file
	line, column int
}

// entry is a label or a variable as it is written.
type entry struct {
	place
	service string
	key     string
	value   string // before variables are put in
}

// before orders places as a reader comes upon them.
func (p place) before(o place) int {
	return cmp.Or(cmp.Compare(p.order, o.order), cmp.Compare(p.line, o.line))
}

// add reads a file, and those that it names. What cannot be read is left out: compose-go
// complains about it.
func (p *places) add(path string) {
	if slices.ContainsFunc(p.files, func(f composeFile) bool { return f.path == path }) {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil || len(doc.Content) == 0 {
		return
	}
	top := doc.Content[0]
	folder := filepath.Dir(path)
	for _, item := range items(child(top, "include")) {
		names := []*yaml.Node{item}
		if item.Kind == yaml.MappingNode {
			if names = items(child(item, "path")); names == nil {
				names = []*yaml.Node{child(item, "path")}
			}
		}
		for _, n := range names {
			p.addNamed(folder, n)
		}
	}
	f := composeFile{path, child(top, "services")}
	each(f.services, func(_, service *yaml.Node) {
		p.addNamed(folder, child(child(service, "extends"), "file"))
	})
	p.files = append(p.files, f)
}

func (p *places) addNamed(folder string, name *yaml.Node) {
	if name == nil || name.Value == "" || strings.Contains(name.Value, "$") {
		return
	}
	file := name.Value
	if !filepath.IsAbs(file) {
		file = filepath.Join(folder, file)
	}
	p.add(file)
}

// service tells where a service begins.
func (p *places) service(name string) place {
	for i, f := range p.files {
		if key, _ := pair(f.services, name); key != nil {
			return place{f.path, i, key.Line, key.Column}
		}
	}
	return place{}
}

// find tells where a service's section, labels or environment, has a key.
func (p *places) find(service, section, key string) (place, bool) {
	for i := len(p.files) - 1; i >= 0; i-- {
		if at, ok := p.findIn(i, service, section, key, 0); ok {
			return at, true
		}
	}
	return place{}, false
}

// findIn looks in one file, and in what its service extends.
func (p *places) findIn(i int, service, section, key string, depth int) (at place, ok bool) {
	const deepest = 10
	_, node := pair(p.files[i].services, service)
	if node == nil || depth > deepest {
		return place{}, false
	}
	for e := range entries(child(node, section)) {
		if e.key == key {
			return place{p.files[i].path, i, e.line, e.column}, true
		}
	}
	extends := child(node, "extends")
	if extends == nil {
		return place{}, false
	}
	base, in := extends.Value, i
	if n := child(extends, "service"); n != nil {
		base = n.Value
	}
	if n := child(extends, "file"); n != nil {
		path := filepath.Join(filepath.Dir(p.files[i].path), n.Value)
		in = slices.IndexFunc(p.files, func(f composeFile) bool { return f.path == path })
	}
	if in < 0 {
		return place{}, false
	}
	return p.findIn(in, base, section, key, depth+1)
}

// labels calls f for each label in the files.
func (p *places) labels(f func(entry)) {
	for i, file := range p.files {
		each(file.services, func(name, service *yaml.Node) {
			for e := range entries(child(service, "labels")) {
				e.service, e.file, e.order = name.Value, file.path, i
				f(e)
			}
		})
	}
}

// entries gives what a mapping, or a list of key=value, says.
func entries(section *yaml.Node) func(yield func(entry) bool) {
	return func(yield func(entry) bool) {
		section = follow(section)
		if section == nil {
			return
		}
		if section.Kind == yaml.SequenceNode {
			for _, item := range section.Content {
				key, value, _ := strings.Cut(follow(item).Value, "=")
				if !yield(entry{place: place{line: item.Line, column: item.Column}, key: key, value: value}) {
					return
				}
			}
			return
		}
		done := false
		each(section, func(key, value *yaml.Node) {
			if !done {
				done = !yield(entry{place: place{line: key.Line, column: key.Column}, key: key.Value, value: follow(value).Value})
			}
		})
	}
}

// follow gives what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// each calls f for each pair of a mapping, and then for those that are merged into it.
func each(n *yaml.Node, f func(key, value *yaml.Node)) {
	if n = follow(n); n == nil || n.Kind != yaml.MappingNode {
		return
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag == "!!merge" {
			merged = append(merged, n.Content[i+1])
			continue
		}
		f(n.Content[i], n.Content[i+1])
	}
	for _, m := range merged {
		if m = follow(m); m.Kind == yaml.SequenceNode {
			for _, item := range m.Content {
				each(item, f)
			}
			continue
		}
		each(m, f)
	}
}

// pair finds a key in a mapping.
func pair(n *yaml.Node, name string) (key, value *yaml.Node) {
	each(n, func(k, v *yaml.Node) {
		if key == nil && k.Value == name {
			key, value = k, follow(v)
		}
	})
	return key, value
}

// child gives the value of a key, nil if there is none.
func child(n *yaml.Node, name string) *yaml.Node {
	_, value := pair(n, name)
	return value
}

// items gives what a list holds; nil if n is none.
func items(n *yaml.Node) []*yaml.Node {
	if n = follow(n); n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}
