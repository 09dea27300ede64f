//go:build race

package middleware

// raceEnabled tells that memory is not pooled reliably.
const raceEnabled = true
