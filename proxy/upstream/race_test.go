//go:build race

package upstream

// raceDetector says that allocations cannot be counted.
const raceDetector = true
