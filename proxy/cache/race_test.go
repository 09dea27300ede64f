//go:build race

package cache_test

// crowd is how many clients ask for the same at once: fewer, since each step costs more.
const crowd = 100
