//go:build !linux

package main

import "errors"

// dropPrivileges is for Linux, where the image runs.
func dropPrivileges(identity, []int) error {
	return errors.New("giving up root works on Linux only; start Portway as an ordinary user")
}
