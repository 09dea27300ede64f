package middleware

import (
	"regexp"
	"slices"
	"strings"

	"portway/internal/redact"
	"portway/label"
	"portway/proxy/exchange"
)

// change is one thing to do with the fields of a message.
type change struct {
	kind  changeKind
	name  *exchange.Name
	lower string
	value template
	line  *exchange.Line // where the value is the same for all requests; else nil
}

type changeKind uint8

const (
	setField    changeKind = iota // one line with the value, whatever was there
	addField                      // one more line
	removeField                   // no line
)

// fieldsType is how labels name the type of a list of changes.
const fieldsType = "fields, one a line"

// shownFields is what people are shown of such a list.
var shownFields = label.Shown(func(value string) string { return redact.Lines(value, ":") })

// parseChanges reads lines of the forms "Name: value", "+Name: value" and "-Name".
func parseChanges(text string) ([]change, error) {
	var all []change
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		c, err := parseChange(line)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func parseChange(line string) (change, error) {
	var c change
	rest := line
	switch line[0] {
	case '+':
		c.kind, rest = addField, line[1:]
	case '-':
		c.kind, rest = removeField, line[1:]
	}
	name, value, colon := strings.Cut(rest, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	wrong := func(why, fix string) (change, error) {
		return change{}, &label.Error{Why: label.Quote(redact.Line(line, ":")) + " " + why, Fix: fix}
	}
	switch {
	case !validName(name):
		return wrong("has no proper name for a field", "write Name: value to set a field, +Name: value to add one, -Name to remove it")
	case ofConnection(name):
		return wrong("is about a field of the connection, which Portway writes itself", "remove it")
	case c.kind == removeField && colon:
		return wrong("removes a field, and has a value too", "write -"+name)
	case c.kind != removeField && value == "":
		return wrong("has no value", "write "+name+": value, or -"+name+" to remove the field")
	case !validText(value):
		return wrong("has a control character in its value", "remove it")
	case twoFieldsRE.MatchString(value):
		return wrong("looks like two fields in one line", "give each field a line of its own")
	}
	c.name, c.lower = exchange.NewName(name), strings.ToLower(name)
	var err error
	if c.value, err = parseTemplate(value); err != nil && redact.Names(nil).Secret([]byte(c.lower)) {
		return wrong("has something in braces that is no placeholder", "see which there are in the documentation of the label")
	}
	if text, ok := c.value.constant(); ok && c.kind != removeField {
		c.line = exchange.NewLine(name, text)
	}
	return c, err
}

// twoFieldsRE finds a second change behind a comma, by which most lists of labels
// are written: it must not become a part of the first one's value.
var twoFieldsRE = regexp.MustCompile(`,\s*(?:[-+]?[A-Za-z][A-Za-z0-9-]*:\s|-[A-Za-z][A-Za-z0-9-]*\s*(?:,|$))`)

// ofConnection tells whether a field is about one connection or the framing on it.
// Host is not among them, since it can be changed as Request.Authority.
func ofConnection(name string) bool {
	return slices.Contains([]string{
		"connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	}, strings.ToLower(name))
}

// apply makes the changes to fields of ex.
func apply(changes []change, fields *exchange.Fields, ex *exchange.Exchange) {
	for i := range changes {
		c := &changes[i]
		if c.kind != addField && (fields.MayHaveNamed(c.name) || dashed(c.lower)) {
			remove(fields, c.lower)
		}
		switch {
		case c.kind == removeField:
		case c.line != nil:
			fields.AddLine(c.line)
		default:
			fields.AddNamed(c.name, c.value.value(ex))
		}
	}
}

// remove drops a field, and those that applications behind CGI or WSGI take for it,
// since "_" stands for "-" there: a client must not be able to add to what is set
// here. name is in lower case.
func remove(fields *exchange.Fields, name string) {
	if !fields.MayHave(name) && !dashed(name) {
		return
	}
	list := fields.List()
	for i := range list {
		if sameField(list[i].Name, name) {
			fields.DelFunc(func(n, _ []byte) bool { return sameField(n, name) })
			return
		}
	}
}

// dashed tells whether a name begins or ends with what "_" may stand for, so that MayHave
// does not know of all that is taken for it.
func dashed(name string) bool {
	first, last := name[0], name[len(name)-1]
	return first == '-' || first == '_' || last == '-' || last == '_'
}

func sameField(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range len(name) {
		c, want := b[i], name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		if want == '_' {
			want = '-'
		}
		if c != want {
			return false
		}
	}
	return true
}

// validName tells whether s can name a field: tchar of RFC 9110 section 5.6.2.
func validName(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// validText tells whether s can be the value of a field (RFC 9110 section 5.5).
func validText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
