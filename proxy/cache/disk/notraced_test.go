//go:build !race

package disk

// raced says that the race detector is there, which takes memory of its own.
const raced = false
