package label_test

import (
	"strings"
	"testing"

	"portway/label"
)

// FuzzLabels: whatever a container says, nothing panics, each label is either
// taken or has exactly one Problem, and no secret shows.
func FuzzLabels(f *testing.F) {
	for _, key := range []string{"portway.host", "portway.hots", "portwya.host", "portway.api.host", "portway.helth.wait", "Portway", "portway..", "portway.a b.c", "x", "portway.pin"} {
		f.Add(key, "secret-1f7a", "portway.basic-auth.users", "secret-1f7a")
	}
	f.Add("portway.max-body", "1.5GiB", "portway.health.wait", "1d2h")
	f.Add("portway.net", "a/b,,", "portway.even", "\xff")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 string) {
		const secret = "hunter2:$2y$05$"
		for _, v := range []*string{&value1, &value2} {
			// Other files and variables of this machine are none of the test's.
			if strings.HasPrefix(*v, "file:") || strings.HasPrefix(*v, "env:") {
				*v = ""
			}
		}
		labels := map[string]string{key1: value1, key2: value2, "portway.pin": secret + value1}
		schema := label.Describe(&kit{})
		groups, problems := schema.Group("c", labels)
		for name, values := range groups {
			var k kit
			problems = append(problems, label.Parse("c", func(o string) string { return label.Key(name, o) }, values, &k)...)
		}
		count := make(map[string]int)
		for _, p := range problems {
			count[p.Key]++
			text := p.String()
			if strings.Contains(text, "hunter2") || strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("%q shows a secret or a control character", text)
			}
			if p.Why == "" {
				t.Errorf("%q has no reason", text)
			}
			if _, given := labels[p.Key]; !given {
				t.Errorf("%q is about no label of %v", text, labels)
			}
		}
		if !strings.Contains(key1+key2+value1+value2, "hunter2") && count["portway.pin"] != 1 {
			t.Errorf("%d problems about the wrong secret, want 1: %v", count["portway.pin"], problems)
		}
		for key := range labels {
			rest, ours := strings.CutPrefix(key, label.Prefix)
			known := false
			for _, values := range groups {
				for option := range values {
					known = known || strings.HasSuffix(rest, option) && schema.Nearest(option) == option
				}
			}
			if n := count[key]; n > 1 || ours && !known && n != 1 {
				t.Errorf("%d problems about %q, want 1: %v", n, key, problems)
			}
		}
	})
}
