// Package e2e drives the built Portway from outside, as a user would: its image
// with compose, or its binary with flags, on a real Docker engine and with a real
// ACME server. It holds tests only.
package e2e
