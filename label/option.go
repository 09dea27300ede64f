package label

// Option describes one option, for documentation and did-you-mean.
type Option struct {
	Name    string   // without prefix and route name, e.g. "max-body" or "health.path"
	Type    string   // "text", "list", "true/false", "number", "duration", "size", or "a | b | c"
	Default string   // as a user would type it; empty if none
	Doc     string   // one or two sentences
	Example string   // a value as a user would type it
	Values  []string // for an enum
	Secret  bool
	Shown   func(value string) string // what people are shown of a value; nil: all of it, unless it is a Secret
	Lines   bool                      // takes several things, one a line
	Min     int                       // smallest and largest number, see Range; both 0: not negative
	Max     int
	Needs   []string // options without any of which this one does nothing
}

// Attr adds a fact to an option.
type Attr func(*Option)

// Example gives a value to show in the docs and in messages.
func Example(value string) Attr {
	return func(o *Option) { o.Example = value }
}

// Secret marks an option whose value is never printed and may be given as
// file:PATH or env:NAME.
func Secret() Attr {
	return func(o *Option) { o.Secret = true }
}

// Shown says what people are shown of a value, where a part of it may be a secret. What
// is wrong with a value is told without such a part, too: see Error.
func Shown(shown func(value string) string) Attr {
	return func(o *Option) { o.Shown = shown }
}

// Range bounds a number, both ends included.
func Range(minimum, maximum int) Attr {
	return func(o *Option) { o.Min, o.Max = minimum, maximum }
}

// Default gives the default of an option that is bound by Func, for the docs.
func Default(value string) Attr {
	return func(o *Option) { o.Default = value }
}

// Needs says that an option is a detail of another one, or of any of several:
// given without, it is a Problem, since what it is a detail of may have been meant
// as a protection.
func Needs(options ...string) Attr {
	return func(o *Option) { o.Needs = options }
}

// Lines says that an option takes several things, one a line, so that a list in a
// file becomes lines.
func Lines() Attr {
	return func(o *Option) { o.Lines = true }
}
