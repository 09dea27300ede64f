package exchange

import "testing"

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
