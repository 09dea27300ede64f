package exchange

import "strings"

// Line is a field line that is the same in message after message, for example one that
// a label asks for. What every writer would do with it time and again is done once: it
// is known to be well-formed, and there as it is written. It is never changed.
type Line struct {
	name, value []byte
	lower       string // the name
	bit         uint64 // of the name: see nameBit
	text        []byte // "Name: value\r\n"; nil: to be treated like any field
	start       []byte // "Name: "; nil: the name is to be looked at
	hash        uint32
}

// NewLine makes a line. One that a writer would have to refuse or to leave out may be
// made too: it is treated as if it had been added by Add.
func NewLine(name, value string) *Line {
	l := &Line{name: []byte(name), value: []byte(value), lower: strings.ToLower(name), bit: nameBit(name)}
	if !wellFormed(name, value) {
		return l
	}
	l.text = []byte(name + ": " + value + "\r\n")
	l.start = l.text[:len(name)+len(": ")]
	l.hash = 2166136261 // FNV-1a
	for _, c := range l.text {
		l.hash = (l.hash ^ uint32(c)) * 16777619
	}
	return l
}

// Name is the name as it is written.
func (l *Line) Name() []byte { return l.name }

// Value is what the field says.
func (l *Line) Value() []byte { return l.value }

// Text is the line as HTTP/1.1 has it, with its end. It must not be written to.
func (l *Line) Text() []byte { return l.text }

// Hash spreads lines over tables.
func (l *Line) Hash() uint32 { return l.hash }

// AddLine appends l. Neither it nor its parts are copied.
func (f *Fields) AddLine(l *Line) {
	field := Field{Name: l.name, Value: l.value}
	if l.text != nil {
		field.line = l
	}
	f.names |= l.bit
	f.list = append(f.list, field)
}

// SetLine puts l in place of all lines with its name.
func (f *Fields) SetLine(l *Line) {
	if f.names&l.bit != 0 {
		f.delFrom(0, l.lower)
	}
	f.AddLine(l)
}

// AddDefault appends l unless there is a line with its name.
func (f *Fields) AddDefault(l *Line) {
	if f.names&l.bit == 0 || f.index(l.lower, 0) < 0 {
		f.AddLine(l)
	}
}

// Lines are lines that are added together.
type Lines struct {
	lines  []*Line
	fields []Field
	bits   uint64
}

// NewLines makes one of lines with different names.
func NewLines(lines ...*Line) *Lines {
	g := &Lines{lines: lines}
	var f Fields
	for _, l := range lines {
		f.AddLine(l)
	}
	g.fields, g.bits = f.list, f.names
	return g
}

// AddLines appends all of g.
func (f *Fields) AddLines(g *Lines) {
	f.names |= g.bits
	f.list = append(f.list, g.fields...)
}

// AddDefaults appends those of g that there is no line with the name of.
func (f *Fields) AddDefaults(g *Lines) {
	if f.names&g.bits == 0 {
		f.AddLines(g)
		return
	}
	for _, l := range g.lines {
		f.AddDefault(l)
	}
}

// Name is the name of a field that is added, looked for or removed in message after
// message. What is the same each time is done once. It is never changed.
type Name struct{ line Line }

// NewName makes one of a name as it is written.
func NewName(name string) *Name {
	n := &Name{Line{name: []byte(name), lower: strings.ToLower(name), bit: nameBit(name)}}
	if wellFormed(name, "") {
		n.line.start = []byte(name + ": ")
	}
	return n
}

// Lower is the name in lower case.
func (n *Name) Lower() string { return n.line.lower }

// AddNamed appends a line. The value is not copied.
func (f *Fields) AddNamed(n *Name, value []byte) {
	f.names |= n.line.bit
	f.list = append(f.list, Field{Name: n.line.name, Value: value, line: &n.line})
}

// MayHaveNamed is MayHave.
func (f *Fields) MayHaveNamed(n *Name) bool { return f.names&n.line.bit != 0 }

// wellFormed tells whether every protocol has the field as an end-to-end field of
// requests and of responses (RFC 9110 section 5).
func wellFormed(name, value string) bool {
	for i := range len(name) {
		if c := name[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false // also of names that are allowed, but that nobody uses
		}
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	blank := func(c byte) bool { return c == ' ' || c == '\t' }
	if n := len(value); name == "" || n > 0 && (blank(value[0]) || blank(value[n-1])) {
		return false
	}
	b := bytesOf(name)
	return !OfConnection(b) && !EqualFold(b, "host") && !EqualFold(b, "expect")
}
