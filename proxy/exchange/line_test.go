package exchange

import (
	"strings"
	"testing"
)

// What writers could not copy as it is has no text.
func TestLine(t *testing.T) {
	for _, c := range []struct {
		name, value string
		ready       bool
	}{
		{"X-Served-By", "bench", true},
		{"vary", "Origin", true},
		{"X-Empty", "", true},
		{"X-Tab", "a\tb", true},
		{"X-Umlaut", "\xe4", true},
		{"", "x", false},
		{"X Y", "x", false},
		{"X:Y", "x", false},
		{"X\r\nY", "x", false},
		{"X-Y", "a\r\nX-Z: b", false},
		{"X-Y", "a\nb", false},
		{"X-Y", "a\x00", false},
		{"X-Y", "a\x7f", false},
		{"X-Y", " a", false},
		{"X-Y", "a\t", false},
		{"Connection", "close", false},
		{"Content-Length", "5", false},
		{"transfer-encoding", "chunked", false},
		{"Keep-Alive", "1", false},
		{"Host", "a.example", false},
		{"Expect", "100-continue", false},
	} {
		var f Fields
		f.AddLine(NewLine(c.name, c.value))
		l := f.At(0)
		if string(l.Name) != c.name || string(l.Value) != c.value {
			t.Errorf("%q: %q was added as %q: %q", c.name, c.value, l.Name, l.Value)
		}
		switch {
		case (l.Line() != nil) != c.ready:
			t.Errorf("%q: %q can be copied: %v", c.name, c.value, !c.ready)
		case c.ready && string(l.Line().Text()) != c.name+": "+c.value+"\r\n":
			t.Errorf("%q: %q is written as %q", c.name, c.value, l.Line().Text())
		}
	}
}

// A line that gets another value is no longer what it was added as.
func TestSetChangesLine(t *testing.T) {
	var f Fields
	f.AddLine(NewLine("Vary", "Origin"))
	f.SetString("vary", "Accept")
	if l := f.At(0); l.Line() != nil || string(l.Value) != "Accept" {
		t.Errorf("%q: %q, with line %v", l.Name, l.Value, l.Line())
	}
}

// Lines that are added together are as if added one by one, and stand back where the
// message has its own.
func TestLines(t *testing.T) {
	t.Parallel()
	g := NewLines(NewLine("X-A", "1"), NewLine("X-B", "2"), NewLine("Bad Name", "3"))
	for _, tc := range []struct{ has, want string }{
		{"", "X-A=1 X-B=2 Bad Name=3"},
		{"x-b", "x-b=own X-A=1 Bad Name=3"},
		{"bad name", "bad name=own X-A=1 X-B=2"},
	} {
		var f Fields
		if tc.has != "" {
			f.AddString(tc.has, "own")
		}
		f.AddDefaults(g)
		var got []string
		for name, value := range f.All() {
			got = append(got, string(name)+"="+string(value))
		}
		if all := strings.Join(got, " "); all != tc.want {
			t.Errorf("%q: %s, want %s", tc.has, all, tc.want)
		}
		first := f.At(0)
		if !f.Has("x-a") || f.Get("x-b") == nil || first.Line() == nil && tc.has == "" {
			t.Errorf("%q: a line is not found, or not known", tc.has)
		}
	}
}

// Of a name that is made once, writers know that it is in order, if it is; the value is
// still theirs to look at, and what Set puts there too.
func TestName(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]string{"X-Client": "X-Client: ", "Connection": "", "Host": "", "Bad Name": "", "": ""} {
		var f Fields
		n := NewName(name)
		if f.MayHaveNamed(n) {
			t.Errorf("%q may be in an empty list", name)
		}
		f.AddNamed(n, []byte("a\r\nb"))
		l := f.At(0)
		if string(l.Start()) != start || l.Line() != nil || string(l.Name) != name || !f.MayHaveNamed(n) || n.Lower() != strings.ToLower(name) {
			t.Errorf("%q: begins with %q, is %q", name, l.Start(), l.Name)
		}
		if name == "" {
			continue
		}
		f.SetString(n.Lower(), "other")
		if l := f.At(0); f.Len() != 1 || string(l.Value) != "other" || l.Start() != nil {
			t.Errorf("%q: %d lines, %q", name, f.Len(), l.Value)
		}
	}
}
