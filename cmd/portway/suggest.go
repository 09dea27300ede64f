package main

import (
	"maps"
	"slices"

	"portway/label"
)

// didYouMean suggests the nearest flag for a name in its flag form; spell
// writes it the way the user did.
func didYouMean(name string, flags []string, spell func(flag string) string) string {
	if near := label.Nearest(name, flags); near != "" {
		return "; did you mean " + spell(near) + "?"
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
