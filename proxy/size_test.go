//go:build !race

package proxy

// large is the size of the bodies that must not take memory.
const large = 256 << 20
