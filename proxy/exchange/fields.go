package exchange

import "iter"

// Field is one header or trailer field line. Name keeps the case it came in.
type Field struct {
	Name  []byte
	Value []byte // without surrounding white space
}

// Fields is a list of field lines in the order they came, with repetition. The
// zero value is empty and ready. Names given to its methods are lower case;
// matching ignores the case of what is stored.
type Fields struct {
	list []Field
}

// Reset empties the list and keeps its memory.
func (f *Fields) Reset() {
	clear(f.list)
	f.list = f.list[:0]
}

// Len counts the field lines.
func (f *Fields) Len() int { return len(f.list) }

// At returns line i.
func (f *Fields) At(i int) Field { return f.list[i] }

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
	for i := range f.list {
		if EqualFold(f.list[i].Name, name) {
			if v := f.list[i].Value; v != nil {
				return v
			}
			return []byte{}
		}
	}
	return nil
}

// Has tells whether a line with that name is there.
func (f *Fields) Has(name string) bool {
	for i := range f.list {
		if EqualFold(f.list[i].Name, name) {
			return true
		}
	}
	return false
}

// Find returns the value of the first line with that name from place from on,
// and the place behind it, which is -1 if there is none. So lines of one name are
// looked through without allocation also behind an interface.
func (f *Fields) Find(name string, from int) (value []byte, next int) {
	for i := from; i < len(f.list); i++ {
		if EqualFold(f.list[i].Name, name) {
			return f.list[i].Value, i + 1
		}
	}
	return nil, -1
}

// Count tells how many lines have that name.
func (f *Fields) Count(name string) int {
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
	f.list = append(f.list, Field{name, value})
}

// AddString appends a line of strings, which are not copied either.
func (f *Fields) AddString(name, value string) {
	f.list = append(f.list, Field{bytesOf(name), bytesOf(value)})
}

// Set replaces the first line with that name and removes the others, or appends
// one. The value is not copied.
func (f *Fields) Set(name string, value []byte) {
	for i := range f.list {
		if EqualFold(f.list[i].Name, name) {
			f.list[i].Value = value
			f.delFrom(i+1, name)
			return
		}
	}
	f.list = append(f.list, Field{bytesOf(name), value})
}

// SetString is Set for a string.
func (f *Fields) SetString(name, value string) { f.Set(name, bytesOf(value)) }

// Del removes all lines with that name.
func (f *Fields) Del(name string) { f.delFrom(0, name) }

// DelFunc removes all lines for which drop returns true.
func (f *Fields) DelFunc(drop func(name, value []byte) bool) {
	kept := f.list[:0]
	for _, l := range f.list {
		if !drop(l.Name, l.Value) {
			kept = append(kept, l)
		}
	}
	clear(f.list[len(kept):])
	f.list = kept
}

func (f *Fields) delFrom(from int, name string) {
	kept := f.list[:from]
	for _, l := range f.list[from:] {
		if !EqualFold(l.Name, name) {
			kept = append(kept, l)
		}
	}
	clear(f.list[len(kept):])
	f.list = kept
}

// EqualFold tells whether b is s, where s is lower-case ASCII and the case of b
// does not matter. Unlike bytes.EqualFold it never folds non-ASCII letters onto
// ASCII ones.
func EqualFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range len(s) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}
