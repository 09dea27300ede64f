package label

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
)

// maxSecret bounds a secret's file, so that a wrong path cannot fill memory.
const maxSecret = 1 << 20

// ResolveSecret gives the value behind file:PATH or env:NAME, or value itself: what a
// Secret option does, for settings too.
// Its errors name the file or variable and nothing else.
func ResolveSecret(value string) (string, error) {
	if path, ok := SecretFile(value); ok {
		return secretFile(path)
	}
	if name, ok := strings.CutPrefix(value, "env:"); ok {
		return secretEnv(strings.TrimSpace(name))
	}
	return value, nil
}

// SecretFile tells which file the value of a Secret option says to read, if any.
func SecretFile(value string) (path string, ok bool) {
	path, ok = strings.CutPrefix(value, "file:")
	return strings.TrimSpace(path), ok
}

func secretEnv(name string) (string, error) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) {
		// Not repeated: it may be a password that begins with "env:".
		return "", &Error{Why: "what follows env: is no name of a variable", Fix: "write env:NAME with the name of a variable in Portway's environment", Safe: true}
	}
	value, ok := os.LookupEnv(name)
	if !ok || value == "" {
		return "", &Error{Why: "the variable " + name + " is not set, or empty, in Portway's environment", Fix: "set it for Portway itself, not for this container", Safe: true}
	}
	return value, nil
}

func secretFile(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", &Error{Why: "what follows file: is no absolute path", Fix: "write file:/path of a file that Portway can read", Safe: true}
	}
	wrong := func(what string) error {
		return &Error{Why: fmt.Sprintf("the file %s %s", Quote(path), what), Fix: "give a file that Portway itself can read, for example a secret that is mounted into its container", Safe: true}
	}
	unreadable := func(err error) error {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathErr.Err
		}
		return wrong("cannot be read: " + err.Error())
	}
	// Opening a device can have effects, and opening a named pipe waits for its
	// writer; O_NONBLOCK is for what becomes one after the check.
	if info, err := os.Stat(path); err != nil {
		return "", unreadable(err)
	} else if !info.Mode().IsRegular() {
		return "", wrong("is not a regular file")
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", unreadable(err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", unreadable(err)
	case len(content) > maxSecret:
		return "", wrong("is larger than 1 MiB")
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", wrong("is empty")
	}
	return secret, nil
}
