//go:build race

package accesslog

// raceEnabled tells that memory is not pooled reliably.
const raceEnabled = true
