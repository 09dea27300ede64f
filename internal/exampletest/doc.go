// Package exampletest runs each of compose-examples/ on a real engine with both
// versions of compose, and the images that they use. It holds tests only.
package exampletest
