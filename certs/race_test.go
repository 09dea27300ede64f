//go:build race

package certs

const raceDetector = true
