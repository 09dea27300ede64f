package label

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Set binds options to fields. The zero value is not usable: see Parse and
// Describe, which hand one to each Binder.
type Set struct {
	options []Option

	// Only while parsing; nil values while describing.
	source   string
	key      func(option string) string
	values   Values
	part     bool // see ParsePart
	problems []Problem
}

// String binds text as it is, without white space around it (a Secret keeps its).
func (s *Set) String(p *string, name, def, doc string, attrs ...Attr) {
	*p = def
	o := s.add(Option{Name: name, Type: "text", Default: def, Doc: doc}, attrs)
	s.read(o, func(v string) error {
		*p = v
		return nil
	})
}

// List binds items separated by commas; white space around an item is dropped.
func (s *Set) List(p *[]string, name, doc string, attrs ...Attr) {
	*p = nil
	o := s.add(Option{Name: name, Type: "list", Doc: doc}, attrs)
	s.read(o, func(v string) (err error) {
		*p, err = parseList(v)
		return err
	})
}

// Each binds a list whose items go to parse one by one, up to the first error.
func (s *Set) Each(name, doc string, parse func(item string) error, attrs ...Attr) {
	s.read(s.add(Option{Name: name, Type: "list", Doc: doc}, attrs), func(v string) error {
		items, err := parseList(v)
		for _, item := range items {
			if err = parse(item); err != nil {
				break
			}
		}
		return err
	})
}

// Bool binds "true" or "false".
func (s *Set) Bool(p *bool, name string, def bool, doc string, attrs ...Attr) {
	*p = def
	o := s.add(Option{Name: name, Type: "true/false", Default: strconv.FormatBool(def), Doc: doc}, attrs)
	s.read(o, func(v string) (err error) {
		*p, err = parseBool(v, def)
		return err
	})
}

// Int binds a whole number, not negative unless Range says so. A default
// outside of the Range stands for "not given".
func (s *Set) Int(p *int, name string, def int, doc string, attrs ...Attr) {
	*p = def
	o := s.add(Option{Name: name, Type: "number", Doc: doc}, attrs, func(o *Option) {
		if o.inRange(def) {
			o.Default = strconv.Itoa(def)
		}
	})
	s.read(o, func(v string) error {
		n, err := o.parseInt(v)
		if err == nil {
			*p = n
		}
		return err
	})
}

// Duration binds a length of time with units: "500ms", "30s", "1h30m", "7d".
func (s *Set) Duration(p *time.Duration, name string, def time.Duration, doc string, attrs ...Attr) {
	*p = def
	o := s.add(Option{Name: name, Type: "duration", Default: formatDuration(def), Doc: doc}, attrs)
	s.read(o, func(v string) error {
		d, err := parseDuration(v)
		if err == nil {
			*p = d
		}
		return err
	})
}

// Size binds a number of bytes: "0", "512", "10KiB", "10MiB", "1GB".
func (s *Set) Size(p *int64, name string, def int64, doc string, attrs ...Attr) {
	*p = def
	o := s.add(Option{Name: name, Type: "size", Default: formatSize(def), Doc: doc}, attrs)
	s.read(o, func(v string) error {
		n, err := ParseSize(v)
		if err == nil {
			*p = n
		}
		return err
	})
}

// Enum binds one of values. It is a function since a method cannot be generic.
func Enum[T ~string](s *Set, p *T, name string, def T, values []T, doc string, attrs ...Attr) {
	*p = def
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = string(v)
	}
	o := s.add(Option{Name: name, Type: strings.Join(words, " | "), Values: words, Default: string(def), Doc: doc}, attrs)
	s.read(o, func(v string) error {
		if !slices.Contains(words, v) {
			return enumError(v, words)
		}
		*p = T(v)
		return nil
	})
}

// Func binds an option with a parser of its own. parse is called only when the
// option is given; the error it returns says what is wrong with the value, best
// as an *Error. typ is shown as Option.Type.
func (s *Set) Func(name, typ, doc string, parse func(value string) error, attrs ...Attr) {
	s.read(s.add(Option{Name: name, Type: typ, Doc: doc}, attrs), parse)
}

// Check holds an option against others, after the calls that bind all of them: if
// it is given, and nothing was wrong so far, the error that check returns becomes
// its Problem.
func (s *Set) Check(name string, check func() error) {
	i := slices.IndexFunc(s.options, func(o Option) bool { return o.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("label: option %q is checked before it is bound", name))
	}
	if s.part || !s.given(name) || len(s.problems) > 0 {
		return
	}
	if err := check(); err != nil {
		s.report(s.options[i], err)
	}
}

func (s *Set) given(name string) bool {
	_, ok := s.values[name]
	return ok
}

func (s *Set) bind(binders []Binder) {
	for _, b := range binders {
		b.Labels(s)
	}
}

// add records an option. Like package flag, it panics on what only a programmer can
// get wrong; that shows when options are described, and costs nothing when they are read.
func (s *Set) add(o Option, attrs []Attr, more ...Attr) Option {
	for _, a := range append(slices.Clip(attrs), more...) {
		a(&o)
	}
	if s.key == nil {
		if !validOption(o.Name) {
			panic(fmt.Sprintf("label: %q is no name for an option", o.Name))
		}
		if slices.ContainsFunc(s.options, func(x Option) bool { return x.Name == o.Name }) {
			panic(fmt.Sprintf("label: option %q is bound twice", o.Name))
		}
	}
	s.options = append(s.options, o)
	return o
}

// read hands the option's value, if there is one, to parse.
func (s *Set) read(o Option, parse func(value string) error) {
	value, given := s.values[o.Name]
	if !given {
		return
	}
	if !s.part && len(o.Needs) > 0 && !slices.ContainsFunc(o.Needs, s.given) {
		others := make([]string, len(o.Needs))
		for i, other := range o.Needs {
			others[i] = s.key(other)
		}
		s.report(o, &Error{
			Why: "does nothing without " + strings.Join(others, " or "), Fix: "add " + others[0] + ", or remove this one", Safe: true,
		})
		return
	}
	if _, inFile := SecretFile(value); o.Secret && s.part && (inFile || strings.HasPrefix(value, "env:")) {
		return // whoever has the whole will see
	}
	if o.Secret {
		secret, err := ResolveSecret(value)
		if err != nil {
			s.report(o, err)
			return
		}
		value = secret
	} else {
		value = strings.TrimSpace(value)
	}
	if value == "" {
		fix := "give it a value or remove it"
		if o.Example != "" {
			fix = "give it a value (for example " + o.Example + ") or remove it"
		}
		s.report(o, &Error{Why: "is empty", Fix: fix, Safe: true})
		return
	}
	if err := parse(value); err != nil {
		s.report(o, err)
	}
}

// report turns what is wrong with an option's value into a Problem.
func (s *Set) report(o Option, err error) {
	p := Problem{Source: s.source, Key: s.key(o.Name), Why: err.Error()}
	e, ok := errors.AsType[*Error](err)
	if ok {
		p.Why, p.Fix = e.Why, e.Fix
	}
	if o.Secret && (!ok || !e.Safe) {
		p.Why, p.Fix = "cannot be used as "+o.Type+"; the value is secret and not shown", ""
	}
	if p.Fix == "" && o.Example != "" {
		p.Fix = "for example " + p.Key + ": " + o.Example
	}
	p.Why, p.Fix = oneLine(p.Why), oneLine(p.Fix)
	s.problems = append(s.problems, p)
}

// reportUnknown adds a Problem for each value that no option took.
func (s *Set) reportUnknown() {
	c := &Schema{options: s.options}
	for name := range s.values {
		if !c.has(name) {
			s.problems = append(s.problems, c.unknown(s.source, s.key, name))
		}
	}
}
