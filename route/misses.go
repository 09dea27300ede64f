package route

import (
	"bytes"
	"slices"
	"strings"
)

// misses lists the criteria that a request does not meet: fits, for people.
func (m *Match) misses(l *look) []Miss {
	var all []Miss
	miss := func(option, got string) { all = append(all, Miss{option, m.wants(option), got}) }
	if s := &m.methods; s.given() && !s.verdict(isOneOf(l.Method, s.any), isOneOf(l.Method, s.none)) {
		miss("match.method", string(l.Method))
	}
	for i := range m.lines {
		if c := &m.lines[i]; c.anyFits(l) == c.negated {
			all = append(all, Miss{c.option(), c.shown, c.got(l)})
		}
	}
	if s := &m.clients; s.given() && (!l.Client.IsValid() || !s.verdict(isIn(l.Client, s.any), isIn(l.Client, s.none))) {
		got := "a client without a known address"
		if l.Client.IsValid() {
			got = l.Client.String()
		}
		miss("match.client", got)
	}
	if s := &m.agents; s.given() && !s.verdict(isAgent(l, s.any), isAgent(l, s.none)) {
		miss("match.agent", string(l.field("user-agent")))
	}
	if s := &m.countries; s.given() && (!l.place() || !s.verdict(slices.Contains(s.any, l.country), slices.Contains(s.none, l.country))) {
		miss("match.country", l.placeText(l.country))
	}
	if s := &m.continents; s.given() && (!l.place() || !s.verdict(slices.Contains(s.any, l.continent), slices.Contains(s.none, l.continent))) {
		miss("match.continent", l.placeText(l.continent))
	}
	return all
}

// wants is what a list asks for, as it was written.
func (m *Match) wants(option string) string {
	for _, c := range m.criteria {
		if after, ok := strings.CutPrefix(c.shown, option+": "); ok {
			return after
		}
	}
	return ""
}

func (l *look) placeText(code string) string {
	switch {
	case !l.located:
		return "nobody can tell where the client is"
	case code == "":
		return "a client whose place is not in the database"
	}
	return code
}

// option is the one by which a line was asked for.
func (c *line) option() string {
	switch c.source {
	case inCookies:
		return "match.cookie"
	case inQuery:
		return "match.query"
	}
	return "match.header"
}

// got shows the values that a request has by the line's name.
func (c *line) got(l *look) string {
	var values []string
	switch c.source {
	case inHeader:
		for _, v := range l.fields(c.name) {
			values = append(values, string(v))
		}
	case inCookies:
		for _, f := range l.fields("cookie") {
			for pair := range bytes.SplitSeq(f, []byte(";")) {
				if name, value, _ := bytes.Cut(pair, []byte("=")); string(bytes.Trim(name, " \t")) == c.name {
					values = append(values, string(unquoted(bytes.Trim(value, " \t"))))
				}
			}
		}
	case inQuery:
		for pair := range bytes.SplitSeq(l.Query, []byte("&")) {
			if name, value, _ := bytes.Cut(pair, []byte("=")); len(pair) > 0 && decodesTo(name, c.name) {
				values = append(values, string(appendDecoded(nil, value)))
			}
		}
	}
	return strings.Join(values, ", ")
}

// fields returns all lines of a field.
func (l *look) fields(name string) (all [][]byte) {
	if l.Fields == nil {
		return nil
	}
	for i := 0; ; {
		var value []byte
		if value, i = l.Fields.Find(name, i); i < 0 {
			return all
		}
		all = append(all, value)
	}
}
