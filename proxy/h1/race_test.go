//go:build race

package h1

// Pools forget at random under the race detector.
const raceEnabled = true
