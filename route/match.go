package route

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"portway/internal/redact"
	"portway/label"
)

// Match is what a request must have besides host and path. The zero Match fits
// every request. All criteria must hold.
type Match struct {
	methods    items[string]
	lines      []line
	agents     items[agent]
	clients    items[label.Ranges]
	countries  items[string]
	continents items[string]

	criteria []criterion // sorted by words
}

// items are what one of a request's properties may be, and what it may not be.
type items[T any] struct{ any, none []T }

func (s *items[T]) given() bool { return len(s.any)+len(s.none) > 0 }

// verdict tells whether the list fits: one of the wanted items does, or none is
// wanted, and none of the unwanted does.
func (s *items[T]) verdict(wanted, unwanted bool) bool {
	return !unwanted && (wanted || len(s.any) == 0)
}

// line is a criterion about a named value: a header field, a parameter or a cookie.
type line struct {
	source   source
	negated  bool
	name     string
	hasValue bool
	value    string
	pattern  *regexp.Regexp // instead of value
	shown    string         // all of it as in Match.criteria
}

// fitsValue tells whether a value of that name fits.
func (c *line) fitsValue(value []byte) bool {
	if c.pattern != nil {
		return c.pattern.Match(value)
	}
	return !c.hasValue || string(value) == c.value
}

// agent is a class or a pattern.
type agent struct {
	class   agentClass
	pattern *regexp.Regexp // instead of class
}

// criterion is what an option asks for.
type criterion struct {
	words string // equal for equal criteria
	shown string // the same for people, without what may be a secret
}

// String gives the criteria in words, separated by semicolons; it is empty for
// the zero Match. Values that may be secrets are hidden.
func (m *Match) String() string {
	return m.join(func(c criterion) string { return c.shown })
}

// identity is equal for equal matches. It may hold secrets.
func (m *Match) identity() string {
	return m.join(func(c criterion) string { return c.words })
}

func (m *Match) join(text func(criterion) string) string {
	all := make([]string, len(m.criteria))
	for i, c := range m.criteria {
		all[i] = text(c)
	}
	return strings.Join(all, "; ")
}

// Criteria counts what is asked for: each line, and each list.
func (m *Match) Criteria() int { return len(m.criteria) }

// fits tells whether a request has what is asked for. Where nobody can tell,
// nothing fits, not even "!DE": it may be a protection.
func (m *Match) fits(l *look) bool {
	if s := &m.methods; s.given() && !s.verdict(isOneOf(l.Method, s.any), isOneOf(l.Method, s.none)) {
		return false
	}
	for i := range m.lines {
		if c := &m.lines[i]; c.anyFits(l) == c.negated {
			return false
		}
	}
	if s := &m.clients; s.given() && (!l.Client.IsValid() || !s.verdict(isIn(l.Client, s.any), isIn(l.Client, s.none))) {
		return false
	}
	if s := &m.agents; s.given() && !s.verdict(isAgent(l, s.any), isAgent(l, s.none)) {
		return false
	}
	if s := &m.countries; s.given() && (!l.place() || !s.verdict(slices.Contains(s.any, l.country), slices.Contains(s.none, l.country))) {
		return false
	}
	if s := &m.continents; s.given() && (!l.place() || !s.verdict(slices.Contains(s.any, l.continent), slices.Contains(s.none, l.continent))) {
		return false
	}
	return true
}

func isOneOf(b []byte, all []string) bool {
	for _, s := range all {
		if string(b) == s {
			return true
		}
	}
	return false
}

func isIn(a netip.Addr, all []label.Ranges) bool {
	for _, r := range all {
		if r.Contain(a) {
			return true
		}
	}
	return false
}

// isAgent tells whether one of all is what the request's User-Agent says.
func isAgent(l *look, all []agent) bool {
	for i := range all {
		if p := all[i].pattern; p != nil && p.Match(l.field("user-agent")) || p == nil && l.class() == all[i].class {
			return true
		}
	}
	return false
}

// note adds what an option asks for to the criteria.
func (m *Match) note(option, words, shown string) {
	c := criterion{option + ": " + words, option + ": " + shown}
	if !slices.Contains(m.criteria, c) {
		m.criteria = append(m.criteria, c)
		slices.SortFunc(m.criteria, func(a, b criterion) int { return strings.Compare(a.words, b.words) })
	}
}

// add notes an item of a list, which may be negated.
func add[T any](s *items[T], item string, parse func(string) (T, error)) error {
	text, negated := strings.CutPrefix(item, "!")
	v, err := parse(strings.TrimSpace(text))
	if err != nil {
		return err
	}
	if negated {
		s.none = append(s.none, v)
	} else {
		s.any = append(s.any, v)
	}
	return nil
}

// list binds an option whose items are alternatives.
func list[T any](s *label.Set, m *Match, to *items[T], name, doc string, parse func(string) (T, error), attrs ...label.Attr) {
	var given []string
	s.Each(name, doc, func(item string) error {
		if strings.HasPrefix(item, "!") {
			item = "!" + strings.TrimSpace(item[1:])
		}
		given = append(given, item)
		return add(to, item, parse)
	}, attrs...)
	if given != nil {
		slices.Sort(given)
		words := strings.Join(slices.Compact(given), ", ")
		m.note(name, words, words)
	}
}

// named is a kind of named values that lines can be about.
type named struct {
	source    source
	separator string // between name and value
	check     func(name string) error
	fold      bool // names are the same in any case
}

// line binds an option each of whose lines must hold.
func (m *Match) line(s *label.Set, name, doc string, kind named, attrs ...label.Attr) {
	s.Func(name, "criteria, one a line", doc, func(value string) error {
		for text := range strings.Lines(value) {
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			c, words, err := kind.parse(text)
			if err != nil {
				return err
			}
			c.shown = redact.Line(words, kind.separator)
			m.lines = append(m.lines, c)
			m.note(name, words, c.shown)
		}
		// What costs least comes first.
		slices.SortStableFunc(m.lines, func(a, b line) int {
			cost := func(c line) int {
				if c.pattern != nil {
					return 1
				}
				return 0
			}
			return cmp.Compare(cost(a), cost(b))
		})
		return nil
	}, append(attrs, label.Lines(), label.Shown(func(value string) string { return redact.Lines(value, kind.separator) }))...)
}

// parse reads a line: "Name", or a name and a value or "~" and a pattern, with
// "!" in front of what must not be. words is the same for what means the same.
func (k named) parse(text string) (c line, words string, err error) {
	c.source = k.source
	rest, negated := strings.CutPrefix(text, "!")
	c.negated = negated
	name, value, hasValue := strings.Cut(rest, k.separator)
	c.name, c.hasValue = strings.TrimSpace(name), hasValue
	if err := k.check(c.name); err != nil {
		return c, "", err
	}
	if k.fold {
		c.name = strings.ToLower(c.name)
	}
	if negated {
		words = "!"
	}
	words += c.name
	if !hasValue {
		return c, words, nil
	}
	c.value = strings.TrimSpace(value)
	words += k.separator + c.value
	if pattern, ok := strings.CutPrefix(c.value, "~"); ok {
		c.value = ""
		c.pattern, err = label.Pattern(pattern)
		if err != nil && redact.Line(words, k.separator) != words {
			err = &label.Error{Why: "the pattern of " + label.Quote(c.name) + ", which is not shown, is no regular expression", Fix: "write it as Go and RE2 do"}
		}
	}
	return c, words, err
}

// isToken is token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") == ""
}
