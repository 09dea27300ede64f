package middleware

import (
	"regexp"
	"strconv"
	"strings"

	"portway/label"
)

// rule replaces a path that its pattern fits by a text with parts of that path.
type rule struct {
	pattern *regexp.Regexp // fits whole paths
	text    []part
}

// part is some text and then a group of the pattern.
type part struct {
	text  string
	group int // 0: none
}

// rulesType is how labels name the type of rules.
const rulesType = "rules, one a line"

// parseRules reads lines of the form "PATTERN REPLACEMENT". check says what is wrong
// with a replacement.
func parseRules(value string, check func(r *rule) *label.Error) ([]rule, error) {
	var all []rule
	for line := range strings.Lines(value) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case len(words) != 2:
			return nil, &label.Error{
				Why: label.Quote(strings.TrimSpace(line)) + " is no pattern and replacement",
				Fix: "write a regular expression, a space, and what takes its place, for example /old/(.*) /new/$1",
			}
		}
		r, err := parseRule(words[0], words[1])
		if err != nil {
			return nil, err
		}
		if wrong := check(&r); wrong != nil {
			wrong.Why = label.Quote(words[1]) + " " + wrong.Why
			return nil, wrong
		}
		all = append(all, r)
	}
	return all, nil
}

func parseRule(pattern, replacement string) (rule, error) {
	if strings.ContainsFunc(replacement, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return rule{}, &label.Error{
			Why: label.Quote(replacement) + " has characters that no address has",
			Fix: "write them with percent signs, for example %C3%A4 for ä",
		}
	}
	compiled, err := label.Pattern(pattern)
	if err != nil {
		return rule{}, err
	}
	r := rule{pattern: compiled}
	text, err := parseReplacement(replacement, r.pattern)
	r.text = text
	return r, err
}

// parseReplacement reads "$1", "${1}", "${name}", and "$$" for a dollar sign.
func parseReplacement(s string, pattern *regexp.Regexp) ([]part, error) {
	wrong := func(name string) error {
		return &label.Error{
			Why: label.Quote("$"+name) + " is no group of the pattern, which has " + strconv.Itoa(pattern.NumSubexp()),
			Fix: "write $1 for what the first pair of parentheses fits (in compose files $$1), and $$ for a dollar sign",
		}
	}
	var parts []part
	var text strings.Builder
	for s != "" {
		before, rest, found := strings.Cut(s, "$")
		text.WriteString(before)
		if !found {
			break
		}
		if s = strings.TrimPrefix(rest, "$"); len(s) < len(rest) {
			text.WriteByte('$')
			continue
		}
		name, after := "", ""
		if braced, ok := strings.CutPrefix(rest, "{"); ok {
			if name, after, ok = strings.Cut(braced, "}"); !ok {
				return nil, wrong(rest)
			}
		} else {
			after = strings.TrimLeft(rest, "0123456789")
			name = rest[:len(rest)-len(after)]
		}
		group, err := strconv.Atoi(name)
		if err != nil {
			group = pattern.SubexpIndex(name)
		}
		if group < 1 || group > pattern.NumSubexp() {
			return nil, wrong(name)
		}
		parts = append(parts, part{text.String(), group})
		text.Reset()
		s = after
	}
	if text.Len() > 0 || parts == nil {
		parts = append(parts, part{text: text.String()})
	}
	return parts, nil
}

// replace appends what takes the place of path to b. ok is false if the pattern does
// not fit.
func (r *rule) replace(b, path []byte) (result []byte, ok bool) {
	m := r.pattern.FindSubmatchIndex(path)
	if m == nil {
		return b, false
	}
	for _, p := range r.text {
		b = append(b, p.text...)
		if p.group > 0 && m[2*p.group] >= 0 {
			b = append(b, path[m[2*p.group]:m[2*p.group+1]]...)
		}
	}
	return b, true
}
