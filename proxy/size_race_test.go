//go:build race

package proxy

// large is smaller here, since the race detector makes copying slow.
const large = 32 << 20

const raceDetector = true
