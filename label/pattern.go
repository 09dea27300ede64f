package label

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// maxProgram bounds a compiled regular expression, in instructions: matching
// takes that many steps for each byte at worst.
const maxProgram = 10_000

// Pattern compiles a regular expression (RE2) that has to fit the whole of a
// value; its dot also stands for a line break. The error is an *Error.
func Pattern(text string) (*regexp.Regexp, error) {
	const fix = "write it as Go and RE2 do, for example /old/(.*)"
	parsed, err := syntax.Parse(text, syntax.Perl) // alone, since `a)(b` would fit into parentheses
	if err != nil {
		return nil, &Error{Why: Quote(text) + " is no regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "), Fix: fix}
	}
	if program, err := syntax.Compile(parsed.Simplify()); err != nil || len(program.Inst) > maxProgram {
		return nil, &Error{Why: Quote(text) + " is too large a regular expression", Fix: "repeat less, for example with * instead of {1000}"}
	}
	pattern, err := regexp.Compile(`\A(?s:` + text + `)\z`)
	if err != nil {
		return nil, &Error{Why: Quote(text) + " is no regular expression: " + err.Error(), Fix: fix}
	}
	return pattern, nil
}
