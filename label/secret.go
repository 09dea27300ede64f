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

// resolveSecret gives the value behind file:PATH or env:NAME, or value itself.
// Its errors name the file or variable and nothing else.
func resolveSecret(value string) (string, error) {
	if path, ok := strings.CutPrefix(value, "file:"); ok {
		return secretFile(strings.TrimSpace(path))
	}
	if name, ok := strings.CutPrefix(value, "env:"); ok {
		return secretEnv(strings.TrimSpace(name))
	}
	return value, nil
}

func secretEnv(name string) (string, error) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) {
		// Not repeated: it may be a password that begins with "env:".
		return "", &Error{Why: "what follows env: is no name of a variable", Fix: "write env:NAME with the name of a variable in Portway's environment"}
	}
	value, ok := os.LookupEnv(name)
	if !ok || value == "" {
		return "", &Error{Why: "the variable " + name + " is not set, or empty, in Portway's environment", Fix: "set it for Portway itself, not for this container"}
	}
	return value, nil
}

func secretFile(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", &Error{Why: "what follows file: is no absolute path", Fix: "write file:/path of a file that Portway can read"}
	}
	wrong := func(what string) error {
		return &Error{Why: fmt.Sprintf("the file %s %s", Quote(path), what), Fix: "give a file that Portway itself can read, for example a secret that is mounted into its container"}
	}
	// Without O_NONBLOCK, opening a named pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return "", wrong("cannot be read: " + err.Error())
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", wrong("is not a regular file")
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", wrong("cannot be read")
	case len(content) > maxSecret:
		return "", wrong("is larger than 1 MiB")
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", wrong("is empty")
	}
	return secret, nil
}

// redact withholds the text of an error about a secret if a part of the secret
// shows in it.
func redact(err error, secret string) error {
	text := strings.ToLower(err.Error())
	secret = strings.ToLower(secret)
	parts := strings.FieldsFunc(secret, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, part := range append(parts, secret) {
		if len(part) > 2 && strings.Contains(text, part) || part == secret && strings.Contains(text, secret) {
			return &Error{Why: "its value cannot be used, and is not shown since it is secret"}
		}
	}
	return err
}
