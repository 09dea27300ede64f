package label_test

import (
	"strings"
	"testing"

	"portway/label"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, value string
		want           bool
	}{
		{"a.*", "abc", true},
		{"a.*", "xabc", false},
		{"a|b", "ab", false},
		{"^a$", "a", true},
		{"a.c", "a\nc", true},
		{"(?i)A", "a", true},
		{"", "", true},
	} {
		p, err := label.Pattern(tt.pattern)
		if err != nil || p.MatchString(tt.value) != tt.want {
			t.Errorf("%q and %q: %v, want %v", tt.pattern, tt.value, err, tt.want)
		}
	}
	for pattern, want := range map[string]string{
		"(":                               "no regular expression: missing closing )",
		"a)(b":                            "no regular expression: unexpected )",
		strings.Repeat("[a-z]{1000}", 20): "too large",
	} {
		if _, err := label.Pattern(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", pattern, err, want)
		}
	}
}
