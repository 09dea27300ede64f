//go:build race

package wire

// Pools forget at random under the race detector.
const raceEnabled = true
