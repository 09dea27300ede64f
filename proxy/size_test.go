//go:build !race

package proxy

// large is the size of the bodies that must not take memory.
const large = 256 << 20

// raceDetector makes sync.Pool forget at random, so that allocations cannot be
// counted.
const raceDetector = false
