package label_test

import (
	"strings"
	"testing"

	"portway/label"
)

// guard has details that mean nothing, or something else, without each other.
type guard struct {
	Users, Realm, Any string
	Low, High         int
}

func (g *guard) Labels(s *label.Set) {
	s.String(&g.Users, "guard", "", "Users.", label.Secret())
	s.String(&g.Realm, "guard.realm", "", "Realm.", label.Needs("guard"))
	s.String(&g.Any, "any", "", "Any.", label.Needs("low", "high"))
	s.Int(&g.Low, "low", 1, "Low.")
	s.Int(&g.High, "high", 9, "High.", label.Example("9"))
	s.Check("high", func() error {
		if g.Low > g.High {
			return &label.Error{Why: "is below low"}
		}
		return nil
	})
}

// A detail of a protection that is not there, and values that contradict each
// other, must not go unnoticed.
func TestNeedsAndCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values label.Values
		want   string
	}{
		{label.Values{"guard.realm": "x"}, "portway.guard.realm: does nothing without portway.guard; add portway.guard, or remove this one"},
		{label.Values{"guard.realm": "x", "guard": "u"}, ""},
		{label.Values{"guard.realm": "x", "guard": ""}, "portway.guard: is empty; give it a value or remove it"},
		{label.Values{"any": "x", "high": "2"}, ""},
		{label.Values{"any": "x"}, "portway.any: does nothing without portway.low or portway.high; add portway.low, or remove this one"},
		{label.Values{"low": "5", "high": "2"}, "portway.high: is below low; for example portway.high: 9"},
		{label.Values{"low": "50"}, ""}, // high is not given, so there is nobody to blame
		{label.Values{"low": "x", "high": "0"}, "portway.low: \"x\" is not a whole number; write a whole number of 0 or more"},
	} {
		var g guard
		var got []string
		for _, p := range label.Parse("", func(o string) string { return label.Key("", o) }, tt.values, &g) {
			got = append(got, p.String())
		}
		if text := strings.Join(got, "\n"); text != tt.want {
			t.Errorf("%v\n got: %s\nwant: %s", tt.values, text, tt.want)
		}
	}
}
