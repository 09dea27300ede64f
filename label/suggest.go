package label

import "strings"

// maxGuess bounds the words that are compared, since comparing costs the
// product of their lengths.
const maxGuess = 100

// Nearest returns the one of candidates that word was probably meant to be, or
// "". Case does not count, nor which of "-", "_" and "." is between words.
func Nearest(word string, candidates []string) string {
	if len(word) > maxGuess {
		return ""
	}
	word = fold(word)
	best, bestDistance := "", len(word)/3+1
	bestDistance = min(max(bestDistance, 2), 4)
	for _, c := range candidates {
		if d := distance(word, fold(c)); d < bestDistance && d < len(c) {
			best, bestDistance = c, d
		}
	}
	if best != "" {
		return best
	}
	// "hostname" for "host", or "net" for "network".
	for _, c := range candidates {
		if len(word) >= 3 && len(c) >= 3 && (strings.HasPrefix(word, c) || strings.HasPrefix(c, word)) {
			return c
		}
	}
	return ""
}

// fold removes differences that are no spelling mistakes.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '.' || r == ' ' {
			return '-'
		}
		return r
	}, strings.ToLower(strings.TrimSpace(s)))
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b (Damerau-Levenshtein, optimal string alignment).
func distance(a, b string) int {
	before := make([]int, len(b)+1) // two rows back, for swaps
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
