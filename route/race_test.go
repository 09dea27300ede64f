//go:build race

package route_test

// The race detector lets sync.Pool forget at random.
const raceDetector = true
