//go:build !race

package cache

// raced says that the race detector is there, which makes allocations of its own.
const raced = false
