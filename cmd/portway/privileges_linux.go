package main

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropPrivileges turns this process, all of its threads, from root into id with
// groups as the only supplementary ones. Leaving uid 0 empties the capability
// sets; no_new_privs keeps anything from being gained again. It works in pure
// Go only: with cgo, the C library's threads would be missed.
func dropPrivileges(id identity, groups []int) error {
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	// Ambient capabilities would survive an exec; there should be none.
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("ambient capabilities: %w", errno)
	}
	// Groups first: without uid 0 they could not be changed any more.
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setresgid(id.gid, id.gid, id.gid); err != nil {
		return fmt.Errorf("setgid: %w", err)
	}
	if err := syscall.Setresuid(id.uid, id.uid, id.uid); err != nil {
		return fmt.Errorf("setuid: %w", err)
	}
	return nil
}
