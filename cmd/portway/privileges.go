package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
)

// prepareStorage makes the storage folder usable by id before root is given
// up. It takes over a folder only where nothing can be lost by it: one that it
// makes, or one that is empty and belongs to root, such as a new bind mount.
// Anything else is left as it is, and package certs says so if it cannot write.
func prepareStorage(folder string, id identity) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("cannot make the storage folder: %w", err)
	}
	// Looked at before it is opened: root without capabilities may not open a
	// folder that is the user's already.
	if info, err := os.Lstat(folder); err != nil || !belongsToRoot(info) {
		return err
	}
	// Through one descriptor, so that what is checked is what is changed.
	f, err := os.OpenFile(folder, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("cannot open the storage folder: %w", err)
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !belongsToRoot(info) {
		return err
	}
	if names, err := f.Readdirnames(1); len(names) > 0 {
		return err
	}
	if err := f.Chown(id.uid, id.gid); err != nil {
		return fmt.Errorf("cannot give the empty storage folder %s to user %d: %w", folder, id.uid, err)
	}
	return nil
}

func belongsToRoot(info os.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && owner.Uid == 0 && info.IsDir()
}

// socketGroup tells which group an unprivileged process needs to be in to
// speak to the engine; ok is false where groups decide nothing, because the
// endpoint is no unix socket or is not there yet.
func socketGroup(endpoint string, logger *slog.Logger) (gid int, ok bool) {
	path, isUnix := strings.CutPrefix(endpoint, "unix://")
	if !isUnix {
		return 0, false
	}
	info, err := os.Stat(path)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			logger.Warn("cannot look at the engine's socket", "path", path, "error", err)
		}
		return 0, false
	}
	if info.Mode().Perm()&0o060 != 0o060 {
		logger.Warn("the engine's socket lets neither its group read and write; an unprivileged Portway cannot use it unless it owns it",
			"path", path, "mode", info.Mode().Perm().String(), "fix", "chmod 660 "+path+", or use a socket proxy over TCP")
	}
	owner, isStat := info.Sys().(*syscall.Stat_t)
	if !isStat {
		return 0, false
	}
	return int(owner.Gid), true
}
