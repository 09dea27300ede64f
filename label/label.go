// Package label binds typed fields to label keys, as package flag binds them
// to command-line flags: without reflection and without a registry. The same
// Set parses values, reports what it cannot use, and lists every option for
// the documentation and the linter.
//
// Reading is fail closed. A label that cannot be used may be a misspelt
// protection, so whoever gets a Problem must not serve the route without it:
// a Problem from Parse rejects that one route, a Problem from Schema.Group
// (where nobody can tell which route was meant) rejects every route that the
// same labels describe.
package label

// Prefix starts every label that Portway reads.
const Prefix = "portway."

// Binder is anything whose fields labels set.
type Binder interface {
	// Labels binds each field with one call on s. It is called once per parse,
	// on a zero value; the Set writes the default or the parsed value.
	Labels(s *Set)
}

// Values holds option → value for one route, keys without prefix and route name.
type Values map[string]string

// Key returns the label that sets an option of a route, for example
// "portway.api.host"; route is empty for the default route.
func Key(route, option string) string {
	if route == "" {
		return Prefix + option
	}
	return Prefix + route + "." + option
}

// Parse sets the fields of binders from values. Every value that does not parse
// and every key that no binder knows becomes exactly one Problem, sorted by
// key; fields without a usable value get their default. If there is any
// Problem, the caller must not use what the binders hold. key turns an option's
// name back into what the user wrote (for example "portway.api.host").
func Parse(source string, key func(option string) string, values Values, binders ...Binder) []Problem {
	return parse(&Set{source: source, key: key, values: values}, binders)
}

// ParsePart is Parse for values that are only part of what will be said about a
// route: it does not ask for the options that others Need, Checks do not hold them
// against each other, and secrets are not read from where they are.
func ParsePart(source string, key func(option string) string, values Values, binders ...Binder) []Problem {
	return parse(&Set{source: source, key: key, values: values, part: true}, binders)
}

func parse(s *Set, binders []Binder) []Problem {
	s.options = make([]Option, 0, 128)
	s.bind(binders)
	s.reportUnknown()
	sortProblems(s.problems)
	return s.problems
}
