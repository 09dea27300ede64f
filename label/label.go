// Package label binds typed fields to label keys, as package flag binds them
// to command-line flags: without reflection and without a registry. The same
// Set parses values, reports what it cannot use, and lists every option for
// the documentation and the linter.
package label

import "time"

// Prefix starts every label that Portway reads.
const Prefix = "portway."

// Problem is something that a user wrote, or left out, that cannot work: what,
// why, and what to type instead. Text in a Problem is for people and never
// holds the value of a secret option.
type Problem struct {
	Source string // whose it is, for people: `container "blog-web-1"` or `routes/nas.yaml:7`
	Key    string // the label as written, with its prefix; empty if it is about no single label
	Why    string // what is wrong, a sentence without a full stop
	Fix    string // what to type or do instead; may be empty
}

// String gives the whole Problem in one line.
func (p Problem) String() string { panic("not yet") }

// Binder is anything whose fields labels set.
type Binder interface {
	// Labels binds each field with one call on s. It is called once per parse,
	// on a zero value; the Set writes the default or the parsed value.
	Labels(s *Set)
}

// Set binds options to fields. The zero value is not usable: see Parse and
// Describe.
type Set struct{}

// Attr adds a fact to an option.
type Attr func(*Option)

// Example gives a value to show in the docs.
func Example(value string) Attr { panic("not yet") }

// Secret marks an option whose value is never printed and may be given as
// file:PATH or env:NAME.
func Secret() Attr { panic("not yet") }

// Option describes one option, for documentation and did-you-mean.
type Option struct {
	Name    string   // without prefix and route name, e.g. "max-body" or "health.path"
	Type    string   // "text", "list", "true/false", "number", "duration", "size", or "a | b | c"
	Default string   // as a user would type it; empty if none
	Doc     string   // one or two sentences
	Example string   // a value as a user would type it
	Values  []string // for an enum
	Secret  bool
}

func (s *Set) String(p *string, name, def, doc string, attrs ...Attr)                               {}
func (s *Set) List(p *[]string, name, doc string, attrs ...Attr)                                    {}
func (s *Set) Bool(p *bool, name string, def bool, doc string, attrs ...Attr)                       {}
func (s *Set) Int(p *int, name string, def int, doc string, attrs ...Attr)                          {}
func (s *Set) Duration(p *time.Duration, name string, def time.Duration, doc string, attrs ...Attr) {}

// Size binds a number of bytes: "0", "512", "10KiB", "10MiB", "1GB".
func (s *Set) Size(p *int64, name string, def int64, doc string, attrs ...Attr) {}

// Enum binds one of values.
func (s *Set) Enum(p *string, name, def string, values []string, doc string, attrs ...Attr) {}

// Func binds an option with a parser of its own. parse is called only when the
// option is given; the error it returns says what is wrong with the value.
func (s *Set) Func(name, typ, doc string, parse func(value string) error, attrs ...Attr) {}

// Schema is the set of options that some Binders know.
type Schema struct{}

// Describe lists the options of binders.
func Describe(binders ...Binder) *Schema { panic("not yet") }

// Options returns the options in the order they were bound.
func (c *Schema) Options() []Option { panic("not yet") }

// Values holds option → value for one route, keys without prefix and route name.
type Values map[string]string

// Group splits a container's labels by route name. "portway.<option>" belongs to
// the default route, "" ; "portway.<route>.<option>" to a named one. A first
// word that is an option's first word is never a route name. Labels without
// Prefix are ignored; a label that fits nothing becomes a Problem with the
// nearest known one.
func (c *Schema) Group(source string, labels map[string]string) (map[string]Values, []Problem) {
	panic("not yet")
}

// Parse sets the fields of binders from values. Every value that does not parse
// and every key that no binder knows becomes a Problem. key turns an option's
// name back into what the user wrote (for example "portway.api.host").
func Parse(source string, key func(option string) string, values Values, binders ...Binder) []Problem {
	panic("not yet")
}
