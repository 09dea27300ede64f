package exchange

import (
	"encoding/binary"
	"iter"
)

// Field is one header or trailer field line. Name keeps the case it came in.
type Field struct {
	Name  []byte
	Value []byte // without surrounding white space
	line  *Line  // what is known of it; nil: nothing
}

// Line is what the field was added as by AddLine; nil if it was not, or is none that
// can be written without a look at it.
func (f *Field) Line() *Line {
	if f.line == nil || f.line.text == nil {
		return nil
	}
	return f.line
}

// Start is "Name: " where the name is known to be well-formed, and that of an end-to-end
// field, so that only the value is to be looked at; else nil. It must not be written to.
func (f *Field) Start() []byte {
	if f.line == nil {
		return nil
	}
	return f.line.start
}

// Fields is a list of field lines in the order they came, with repetition. The
// zero value is empty and ready. Names given to its methods are lower case;
// matching ignores the case of what is stored.
type Fields struct {
	list []Field
	// names has a bit for each name that was added, so that what is not there, as most
	// that is looked for, is not looked for in the list.
	names uint64
}

// nameBit is the bit of a name in Fields.names, which it shares with others, among them
// all that differ in case only. It is chosen such that few usual names have the same.
func nameBit[T string | []byte](name T) uint64 {
	n := uint(len(name))
	if n == 0 {
		return 1
	}
	return 1 << ((3*n + 16*uint(name[0]|0x20) + 9*uint(name[n-1]|0x20)) & 63)
}

// MayHave tells whether a line with that name may be there: false is certain.
func (f *Fields) MayHave(name string) bool { return f.names&nameBit(name) != 0 }

// Reset empties the list and keeps its memory.
func (f *Fields) Reset() {
	clear(f.list)
	f.list = f.list[:0]
	f.names = 0
}

// Len counts the field lines.
func (f *Fields) Len() int { return len(f.list) }

// At returns line i.
func (f *Fields) At(i int) Field { return f.list[i] }

// List is all lines in order. It must not be written to, and is valid until the next
// change.
func (f *Fields) List() []Field { return f.list }

// All yields every line in order.
func (f *Fields) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := range f.list {
			if !yield(f.list[i].Name, f.list[i].Value) {
				return
			}
		}
	}
}

// Get returns the value of the first line with that name, nil if there is none.
// A line with an empty value gives an empty, non-nil slice.
func (f *Fields) Get(name string) []byte {
	if !f.MayHave(name) {
		return nil
	}
	return f.get(name)
}

func (f *Fields) get(name string) []byte {
	i := f.index(name, 0)
	switch {
	case i < 0:
		return nil
	case f.list[i].Value == nil:
		return []byte{}
	}
	return f.list[i].Value
}

// Has tells whether a line with that name is there.
func (f *Fields) Has(name string) bool { return f.MayHave(name) && f.index(name, 0) >= 0 }

// Find returns the value of the first line with that name from place from on,
// and the place behind it, which is -1 if there is none. So lines of one name are
// looked through without allocation also behind an interface.
func (f *Fields) Find(name string, from int) (value []byte, next int) {
	i := f.index(name, from)
	if i < 0 {
		return nil, -1
	}
	return f.list[i].Value, i + 1
}

// Count tells how many lines have that name.
func (f *Fields) Count(name string) int {
	if !f.MayHave(name) {
		return 0
	}
	n := 0
	for i := range f.list {
		if EqualFold(f.list[i].Name, name) {
			n++
		}
	}
	return n
}

// Add appends a line. Neither slice is copied.
func (f *Fields) Add(name, value []byte) {
	f.names |= nameBit(name)
	f.list = append(f.list, Field{Name: name, Value: value})
}

// AddString appends a line of strings, which are not copied either.
func (f *Fields) AddString(name, value string) {
	f.Add(bytesOf(name), bytesOf(value))
}

// Set replaces the first line with that name and removes the others, or appends
// one. The value is not copied.
func (f *Fields) Set(name string, value []byte) {
	i := f.index(name, 0)
	if i < 0 {
		f.Add(bytesOf(name), value)
		return
	}
	f.list[i].Value, f.list[i].line = value, nil
	f.delFrom(i+1, name)
}

// SetString is Set for a string.
func (f *Fields) SetString(name, value string) { f.Set(name, bytesOf(value)) }

// Del removes all lines with that name.
func (f *Fields) Del(name string) {
	if f.MayHave(name) {
		f.delFrom(0, name)
	}
}

// delFrom removes lines with that name from place from on.
func (f *Fields) delFrom(from int, name string) {
	for {
		if from = f.index(name, from); from < 0 {
			return
		}
		last := len(f.list) - 1
		copy(f.list[from:], f.list[from+1:])
		f.list[last] = Field{}
		f.list = f.list[:last]
	}
}

// DelFunc removes all lines for which drop returns true.
func (f *Fields) DelFunc(drop func(name, value []byte) bool) {
	for i := range f.list {
		if drop(f.list[i].Name, f.list[i].Value) {
			f.filter(i, drop)
			return
		}
	}
}

// filter removes line from, and those behind it for which drop returns true. Nothing is
// written where nothing is to be removed, which is so most of the time.
func (f *Fields) filter(from int, drop func(name, value []byte) bool) {
	kept := f.list[:from]
	for _, l := range f.list[from+1:] {
		if !drop(l.Name, l.Value) {
			kept = append(kept, l)
		}
	}
	clear(f.list[len(kept):])
	f.list = kept
}

// index is the place of the first line with that name from place from on; -1 if there
// is none.
func (f *Fields) index(name string, from int) int {
	if !f.MayHave(name) {
		return -1
	}
	if name == "" {
		return -1
	}
	for i := from; i < len(f.list); i++ {
		// Most lines are ruled out by a glance.
		if n := f.list[i].Name; len(n) == len(name) && n[0]|0x20 == name[0]|0x20 && equalFold(n, name) {
			return i
		}
	}
	return -1
}

// EqualFold tells whether b is s, where s is lower-case ASCII and the case of b
// does not matter. Unlike bytes.EqualFold it never folds non-ASCII letters onto
// ASCII ones.
func EqualFold(b []byte, s string) bool { return len(b) == len(s) && equalFold(b, s) }

// equalFold is EqualFold for b and s of the same length.
func equalFold(b []byte, s string) bool {
	n := len(b)
	if n < 8 {
		for i, c := range b {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != s[i] {
				return false
			}
		}
		return true
	}
	// Eight bytes at once; the last eight may overlap those before.
	want := bytesOf(s)
	for i := 0; i < n-8; i += 8 {
		if lower8(binary.LittleEndian.Uint64(b[i:])) != binary.LittleEndian.Uint64(want[i:]) {
			return false
		}
	}
	return lower8(binary.LittleEndian.Uint64(b[n-8:])) == binary.LittleEndian.Uint64(want[n-8:])
}

// lower8 is eight bytes with ASCII letters in lower case.
func lower8(x uint64) uint64 {
	const (
		low  = 0x0101010101010101
		high = 0x80 * low
	)
	seven := x &^ high
	fromA, aboveZ := seven+(0x80-'A')*low, seven+(0x7f-'Z')*low // their high bits tell
	return x | (fromA&^aboveZ&^x&high)>>2
}
