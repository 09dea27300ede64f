package discovery

import (
	"maps"
	"strings"
	"testing"
)

func TestConstraint(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"team": "blue", "empty": "", "name": "n", "a.b/c": "x=y"}
	for _, tt := range []struct {
		criteria string
		want     bool
	}{
		{"", true},
		{"team=blue", true},
		{"team=green", false},
		{"team", true},
		{"empty", true},
		{"empty=", true},
		{"stage", false},
		{"stage=", false},
		{"!stage", true},
		{"!team", false},
		{"!team=green", true},
		{"!team=blue", false},
		{"!stage=old", true},
		{" team = blue ", true},
		{"a.b/c=x=y", true},
		{"team=blue;!stage;empty", true},
		{"team=blue;stage", false},
	} {
		var texts []string
		if tt.criteria != "" {
			texts = strings.Split(tt.criteria, ";")
		}
		c, err := ParseConstraint(texts)
		if err != nil || c.holds(labels) != tt.want {
			t.Errorf("%s: %v, want %v (%v)", tt.criteria, c.holds(labels), tt.want, err)
		}
	}
	for _, text := range []string{"", " ", "!", "=x", "!!x", "!=x", "a b=c", "team!=blue", `"team=blue"`} {
		if c, err := ParseConstraint([]string{text}); err == nil || !strings.Contains(err.Error(), `"`) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
	// What the engine says in an event about a name or an image is no label.
	c, _ := ParseConstraint([]string{"name=web", "team=blue"})
	if !c.mayHold(map[string]string{"name": "blog-web-1", "team": "blue"}) || c.mayHold(map[string]string{"name": "web", "team": "green"}) {
		t.Error("an event is judged by what is no label")
	}
}

// Whatever is taken as a criterion has a contrary that holds for just the others.
func FuzzConstraint(f *testing.F) {
	for _, seed := range []string{"team=blue", "!team", "a=b=c", "!a=", "com.docker.compose.project=p", "ä=ö"} {
		f.Add(seed, "team", "blue")
	}
	f.Fuzz(func(t *testing.T, text, key, value string) {
		c, err := ParseConstraint([]string{text})
		if err != nil {
			return
		}
		contrary := strings.TrimPrefix("!"+strings.TrimSpace(text), "!!")
		d, err := ParseConstraint([]string{contrary})
		if err != nil {
			t.Fatalf("%q is taken, and %q is not: %v", text, contrary, err)
		}
		for _, labels := range []map[string]string{nil, {key: value}, {c.criteria[0].key: c.criteria[0].value}, {c.criteria[0].key: value}} {
			if c.holds(labels) == d.holds(labels) {
				t.Errorf("%q and %q agree about %v", text, contrary, labels)
			}
			if c.holds(labels) && !c.mayHold(maps.Clone(labels)) {
				t.Errorf("%q: an event would not be looked at for %v", text, labels)
			}
		}
	})
}
