package label

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

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
func (p Problem) String() string {
	parts := make([]string, 0, 3)
	if p.Source != "" {
		parts = append(parts, p.Source)
	}
	if p.Key != "" {
		parts = append(parts, printable(p.Key))
	}
	text := p.Why
	if p.Fix != "" {
		text += "; " + p.Fix
	}
	return strings.Join(append(parts, text), ": ")
}

// Error is what is wrong with a value, with advice. Parsers given to Set.Func
// and Set.Each return one where they know what to type instead.
type Error struct {
	Why  string // without the label's name
	Fix  string // may be empty
	Safe bool   // neither text holds any of the value: shown even where the option is a Secret
}

var _ error = (*Error)(nil)

// Error gives both halves in one line.
func (e *Error) Error() string {
	if e.Fix == "" {
		return e.Why
	}
	return e.Why + "; " + e.Fix
}

func sortProblems(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Key, b.Key) })
}

// Bounds of what is repeated of a user's text in a Problem, in bytes.
const (
	maxShown = 80  // in a quotation
	maxText  = 500 // of what a parser says
)

// Quote shows a user's text in a message: in quotes, on one line, cut if long.
func Quote(text string) string {
	return strconv.Quote(cut(text, maxShown))
}

// printable is Quote without the quotes where they are not needed.
func printable(text string) string {
	if short := cut(text, maxShown); strconv.Quote(short) == `"`+short+`"` && !strings.Contains(short, " ") {
		return short
	}
	return Quote(text)
}

// oneLine makes text from a parser fit for a log: without control characters
// and not too long, whatever of a user's text the parser repeats.
func oneLine(text string) string {
	return cut(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text), maxText)
}

func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
