package exchange

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestFieldsGet(t *testing.T) {
	var f Fields
	f.AddString("X-Empty", "")
	f.AddString("Accept", "text/html")
	f.AddString("ACCEPT", "*/*")
	f.Add([]byte("X-Nil"), nil)

	for _, c := range []struct {
		name  string
		want  string
		isNil bool
		count int
	}{
		{"accept", "text/html", false, 2},
		{"x-empty", "", false, 1},
		{"x-nil", "", false, 1},
		{"missing", "", true, 0},
		{"accep", "", true, 0},
	} {
		got := f.Get(c.name)
		if string(got) != c.want || (got == nil) != c.isNil {
			t.Errorf("Get(%q) = %q (nil: %v), want %q (nil: %v)", c.name, got, got == nil, c.want, c.isNil)
		}
		if n := f.Count(c.name); n != c.count {
			t.Errorf("Count(%q) = %d, want %d", c.name, n, c.count)
		}
		if f.Has(c.name) != (c.count > 0) {
			t.Errorf("Has(%q) = %v", c.name, c.count == 0)
		}
	}
}

// A Kelvin sign lower-cases to an ASCII k in Unicode: a field must not be found,
// or removed, by a name that only looks the same.
func TestFieldsFind(t *testing.T) {
	var f Fields
	f.AddString("Cookie", "a")
	f.AddString("X", "b")
	f.AddString("COOKIE", "c")
	var got []string
	for i := 0; ; {
		var value []byte
		if value, i = f.Find("cookie", i); i < 0 {
			break
		}
		got = append(got, string(value))
	}
	if want := []string{"a", "c"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// EqualFold looks at eight bytes at once, and must find what byte by byte is found.
func TestEqualFoldAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	odd := []byte("@[`{\x00\x7f\x80\xc1\xda\xe1\xffAZaz-")
	for range 20_000 {
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = odd[r.IntN(len(odd))]
		}
		want := asciiLower8(b)
		if !EqualFold(b, want) {
			t.Fatalf("EqualFold(%q, %q) = false", b, want)
		}
		if len(b) == 0 {
			continue
		}
		other := []byte(want)
		other[r.IntN(len(b))] ^= 1 << r.IntN(8)
		if EqualFold(b, string(other)) {
			t.Fatalf("EqualFold(%q, %q) = true", b, other)
		}
	}
}

func asciiLower8(b []byte) string {
	lower := bytes.Clone(b)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] += 'a' - 'A'
		}
	}
	return string(lower)
}

func TestEqualFoldIsASCIIOnly(t *testing.T) {
	for _, c := range []struct {
		b, s string
		want bool
	}{
		{"Cookie", "cookie", true},
		{"COOKIE", "cookie", true},
		{"coo\u212aie", "cookie", false},
		{"cookie2", "cookie", false},
		{"", "", true},
		{"@[`{", "@[`{", true},
		{"@", "`", false},
		{"[", "{", false},
	} {
		if got := EqualFold([]byte(c.b), c.s); got != c.want {
			t.Errorf("EqualFold(%q, %q) = %v", c.b, c.s, got)
		}
	}
}

// model is Fields in the plainest way, to compare with.
type model [][2]string

func (m model) del(name string) model {
	return slices.DeleteFunc(m, func(l [2]string) bool { return asciiLower(l[0]) == name })
}

func (m model) set(name, value string) model {
	for i := range m {
		if asciiLower(m[i][0]) == name {
			m[i][1] = value
			return append(m[:i+1:i+1], m[i+1:].del(name)...)
		}
	}
	return append(m, [2]string{name, value})
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// applyOps drives Fields and the model with the same steps and compares them
// after each.
func applyOps(t *testing.T, ops []byte) {
	t.Helper()
	names := []string{"a", "host", "x-b", "ab"}
	written := []string{"A", "a", "Host", "hOST", "X-B", "x-b", "aB", "AB"}
	var f Fields
	var m model
	for len(ops) >= 2 {
		op, arg := ops[0]%7, ops[1]
		ops = ops[2:]
		name := names[int(arg)%len(names)]
		line := written[int(arg)%len(written)]
		value := strings.Repeat("v", int(arg)%3)
		switch op {
		case 0, 1:
			f.Add([]byte(line), []byte(value))
			m = append(m, [2]string{line, value})
		case 2:
			if arg < 128 {
				f.AddString(line, value)
			} else {
				f.AddLine(NewLine(line, value))
			}
			m = append(m, [2]string{line, value})
		case 3:
			f.SetString(name, value)
			m = m.set(name, value)
		case 4:
			f.Del(name)
			m = m.del(name)
		case 5:
			drop := func(name, value []byte) bool { return len(name) == 1 || len(value) == int(arg)%4 }
			f.DelFunc(drop)
			m = slices.DeleteFunc(m, func(l [2]string) bool { return drop([]byte(l[0]), []byte(l[1])) })
		case 6:
			if arg < 16 {
				f.Reset()
				m = nil
			}
		}
		compare(t, &f, m, names)
	}
}

func compare(t *testing.T, f *Fields, m model, names []string) {
	t.Helper()
	var got model
	for name, value := range f.All() {
		got = append(got, [2]string{string(name), string(value)})
	}
	if !slices.Equal(got, m) || f.Len() != len(m) {
		t.Fatalf("fields are %q, want %q", got, m)
	}
	for i := range m {
		l := f.At(i)
		if line := l.Line(); line != nil && string(line.Text()) != m[i][0]+": "+m[i][1]+"\r\n" {
			t.Fatalf("line %q, want %q", line.Text(), m[i])
		}
		if string(l.Name) != m[i][0] || string(l.Value) != m[i][1] {
			t.Fatalf("At(%d) = %q: %q, want %q", i, l.Name, l.Value, m[i])
		}
	}
	for _, name := range names {
		first, count := []byte(nil), 0
		for _, l := range m {
			if asciiLower(l[0]) == name {
				if count == 0 {
					first = []byte(l[1])
				}
				count++
			}
		}
		if got := f.Get(name); !bytes.Equal(got, first) || (got == nil) != (count == 0) || f.Count(name) != count {
			t.Fatalf("Get(%q) = %q, Count %d; want %q, %d", name, got, f.Count(name), first, count)
		}
	}
}

func TestFieldsAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		ops := make([]byte, 2*r.IntN(60))
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		applyOps(t, ops)
	}
}

func FuzzFields(f *testing.F) {
	f.Add([]byte("\x00\x00\x01\x01\x03\x00\x04\x01"))
	f.Add([]byte{0, 0, 0, 1, 3, 0, 5, 2, 6, 1, 2, 2, 4, 4})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 400 {
			return
		}
		applyOps(t, ops)
	})
}

func TestAllStopsEarly(t *testing.T) {
	var f Fields
	f.AddString("a", "1")
	f.AddString("b", "2")
	n := 0
	for range f.All() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d lines after a break, want 1", n)
	}
}

// What was removed must not be kept alive, or show up, through spare capacity.
func TestRemovedFieldsAreForgotten(t *testing.T) {
	var f Fields
	for range 4 {
		f.AddString("secret", "value")
	}
	f.Del("secret")
	for _, l := range f.list[:4] {
		if l.Name != nil || l.Value != nil {
			t.Fatalf("removed field is still there: %q: %q", l.Name, l.Value)
		}
	}
}

func TestFieldsDoNotAllocate(t *testing.T) {
	var f Fields
	name, value := []byte("X-Some-Name"), []byte("value")
	work := func() {
		f.Reset()
		for range 8 {
			f.Add(name, value)
		}
		f.AddString("Accept", "*/*")
		f.AddString("X-Empty", "")
		f.SetString("host", "a.example")
		f.Set("accept", value)
		f.Del("x-some-name")
		f.DelFunc(func(name, _ []byte) bool { return EqualFold(name, "host") })
		for n, v := range f.All() {
			_, _ = n, v
		}
		if f.Get("accept") == nil || f.Get("x-empty") == nil || f.Has("host") || f.Count("accept") != 1 {
			t.Error("wrong fields")
		}
	}
	work() // lets the list grow
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
