package discovery

import (
	"fmt"
	"slices"
	"strings"
)

// Constraint tells by Docker labels which containers are ours to look at. The zero
// value takes all.
type Constraint struct{ criteria []criterion }

type criterion struct {
	key, value string
	any        bool // whatever the value
	not        bool
}

// ParseConstraint reads criteria, all of which must hold: "key=value", "key" (the
// label is there), and with a "!" in front the contrary.
func ParseConstraint(texts []string) (Constraint, error) {
	var c Constraint
	for _, text := range texts {
		rest, not := strings.CutPrefix(strings.TrimSpace(text), "!")
		key, value, equals := strings.Cut(rest, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if key == "" || strings.HasPrefix(key, "!") || strings.ContainsAny(key, " \t\r\n\"'") {
			return Constraint{}, fmt.Errorf("%q is not a label such as key, key=value, !key or !key=value", text)
		}
		if strings.HasSuffix(key, "!") {
			return Constraint{}, fmt.Errorf("%q: write !%s=%s for containers without that", text, strings.TrimSuffix(key, "!"), value)
		}
		c.criteria = append(c.criteria, criterion{key: key, value: value, any: !equals, not: not})
	}
	return c, nil
}

// holds tells whether a container with these labels is ours.
func (c Constraint) holds(labels map[string]string) bool {
	for _, x := range c.criteria {
		value, there := labels[x.key]
		if (there && (x.any || value == x.value)) == x.not {
			return false
		}
	}
	return true
}

// mayHold is holds for the attributes of an event, which are labels, but for some
// that the engine puts over labels of the same name.
func (c Constraint) mayHold(attributes map[string]string) bool {
	sure := Constraint{slices.DeleteFunc(slices.Clone(c.criteria), func(x criterion) bool {
		switch x.key {
		case "name", "image", "oldName", "exitCode", "signal", "execDuration", "execID", "container", "type":
			return true
		}
		return false
	})}
	return sure.holds(attributes)
}
