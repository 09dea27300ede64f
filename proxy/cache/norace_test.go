//go:build !race

package cache_test

// crowd is how many clients ask for the same at once.
const crowd = 1000
