package label

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Schema is the set of options that some Binders know.
type Schema struct {
	options []Option
}

// Describe lists the options of binders, whose fields it sets to defaults. It panics if two bind the same option, or
// if one needs an option that none binds.
func Describe(binders ...Binder) *Schema {
	s := &Set{}
	s.bind(binders)
	c := &Schema{options: s.options}
	for _, o := range c.options {
		for _, other := range o.Needs {
			if !c.has(other) {
				panic(fmt.Sprintf("label: option %q needs %q, which is not bound", o.Name, other))
			}
		}
	}
	return c
}

// Options returns the options in the order they were bound.
func (c *Schema) Options() []Option { return slices.Clone(c.options) }

// Nearest returns the option that a name was probably meant to be, or "" if
// none is near. A known name is nearest to itself.
func (c *Schema) Nearest(option string) string {
	if c.has(option) {
		return option
	}
	return Nearest(option, c.names())
}

// Group splits a container's labels by route name. "portway.<option>" belongs to
// the default route, ""; "portway.<route>.<option>" to a named one. A first
// word that is an option's first word is never a route name. Labels without
// Prefix are ignored.
//
// Unknown options stay in their route's Values, where Parse reports them. The
// Problems returned here are about labels that belong to no route for sure: a
// misspelt prefix, or an impossible route name. Since each may be a protection
// that was meant for any of the routes, a caller serves none of them.
func (c *Schema) Group(source string, labels map[string]string) (map[string]Values, []Problem) {
	groups := make(map[string]Values)
	put := func(route, option, value string) {
		if groups[route] == nil {
			groups[route] = make(Values)
		}
		groups[route][option] = value
	}
	var problems []Problem
	for key, value := range labels {
		rest, ours := strings.CutPrefix(key, Prefix)
		if !ours {
			if meant, ok := c.misspeltPrefix(key); ok {
				problems = append(problems, Problem{
					Source: source, Key: key,
					Why: "is not read: labels for Portway start with " + Prefix,
					Fix: "did you mean " + meant + "?",
				})
			}
			continue
		}
		first, option, dotted := strings.Cut(rest, ".")
		switch {
		case rest == "":
			problems = append(problems, Problem{
				Source: source, Key: key, Why: "names no option", Fix: "write " + Prefix + "<option>, for example " + Prefix + "host",
			})
		case !dotted || c.isFirstWord(first):
			put("", rest, value)
		case !ValidName(first):
			problems = append(problems, c.badName(source, key, first, option))
		default:
			put(first, option, value)
		}
	}
	for name, values := range groups {
		if name != "" && c.misspeltOption(name, values) {
			for option, value := range values {
				put("", name+"."+option, value)
			}
			delete(groups, name)
		}
	}
	sortProblems(problems)
	return groups, problems
}

// misspeltOption tells whether what looks like a route's name is a misspelt
// first word of options, as in portway.helth.path: every label of the "route"
// must then be near to an option with another first word.
func (c *Schema) misspeltOption(name string, values Values) bool {
	for option := range maps.Keys(values) {
		near := Nearest(name+"."+option, c.dotted())
		first, _, _ := strings.Cut(near, ".")
		if near == "" || Nearest(name, []string{first}) == "" {
			return false
		}
	}
	return true
}

// misspeltPrefix returns the label that key was probably meant to be, if key
// looks like one of ours with a prefix that is written wrong.
func (c *Schema) misspeltPrefix(key string) (meant string, ok bool) {
	const word = "portway"
	end := strings.IndexAny(key, "._-/: ")
	if end < 0 {
		end = len(key)
	}
	if end < len(word)-1 || end > len(word)+1 {
		return "", false
	}
	first := strings.ToLower(key[:end])
	if distance(first, word) > 1 {
		return "", false
	}
	rest := ""
	if end < len(key) {
		rest = strings.ToLower(key[end+1:])
	}
	if rest == "" {
		return Prefix + "<option>", first == word
	}
	if key[end] == '.' {
		if near := c.correct(rest); near != "" {
			return Prefix + near, true
		}
		return Prefix + "<option>", true
	}
	// portway-host and PORTWAY_API_HOST are ours; portway-exporter may be anything.
	for _, separator := range []string{"-", "."} {
		if near := c.correct(strings.ReplaceAll(rest, "_", separator)); near != "" {
			return Prefix + near, true
		}
	}
	return "", false
}

// correct returns what rest, which follows the prefix, was probably meant to
// be, or "".
func (c *Schema) correct(rest string) string {
	if near := c.Nearest(rest); near != "" {
		return near
	}
	if name, option, ok := strings.Cut(rest, "."); ok && ValidName(name) {
		if near := c.Nearest(option); near != "" {
			return name + "." + near
		}
	}
	return ""
}

func (c *Schema) badName(source, key, name, option string) Problem {
	p := Problem{
		Source: source, Key: key,
		Why: Quote(name) + " cannot name a route",
		Fix: "use a-z, 0-9 and - for a route's name",
	}
	if better := strings.Trim(fold(name), "-"); ValidName(better) && !c.isFirstWord(better) {
		if near := c.Nearest(option); near != "" {
			p.Fix += "; did you mean " + Key(better, near) + "?"
		}
	}
	return p
}

// unknown words the Problem of a key that is no option.
func (c *Schema) unknown(source string, key func(string) string, name string) Problem {
	what := "unknown option"
	if strings.HasPrefix(key(name), Prefix) {
		what = "unknown label"
	}
	p := Problem{Source: source, Key: key(name), Why: what}
	if first, rest, ok := strings.Cut(name, "."); ok && c.isFirstWord(first) && c.has(rest) {
		p.Fix = "if " + first + " is meant to name a route, choose another name, since it is an option's"
		return p
	}
	if near := c.Nearest(name); near != "" {
		p.Fix = "did you mean " + key(near) + "?"
	} else {
		p.Fix = "remove it, or look it up in docs/labels.md"
	}
	return p
}

func (c *Schema) has(name string) bool {
	return slices.ContainsFunc(c.options, func(o Option) bool { return o.Name == name })
}

func (c *Schema) isFirstWord(word string) bool {
	return slices.ContainsFunc(c.options, func(o Option) bool {
		first, _, _ := strings.Cut(o.Name, ".")
		return first == word
	})
}

func (c *Schema) names() []string {
	names := make([]string, len(c.options))
	for i, o := range c.options {
		names[i] = o.Name
	}
	return names
}

func (c *Schema) dotted() []string {
	return slices.DeleteFunc(c.names(), func(n string) bool { return !strings.Contains(n, ".") })
}

// ValidName tells whether word can name a route, or a bundle.
func ValidName(word string) bool {
	return word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func validOption(name string) bool {
	for word := range strings.SplitSeq(name, ".") {
		if !ValidName(word) {
			return false
		}
	}
	return true
}
