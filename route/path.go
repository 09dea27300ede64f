package route

import (
	"strings"

	"portway/label"
)

// PathKind says what Route.Path fits.
type PathKind string

// The kinds of paths.
const (
	Prefix  PathKind = ""       // the path itself and all below it
	Exact   PathKind = "exact"  // the path itself; a slash at its end counts
	Pattern PathKind = "regexp" // what the regular expression fits, as a whole
)

// CompilePath normalises a path prefix as a user writes it: "/" or "/api",
// without a trailing slash, in the percent-encoding that clients send. The
// error is a *label.Error that tells what to type.
func CompilePath(path string) (string, error) { return compilePath(strings.TrimRight(path, "/"), path) }

// compileExact is CompilePath for a path whose last slash counts.
func compileExact(path string) (string, error) {
	bare := strings.TrimSuffix(path, "/")
	clean, err := compilePath(bare, path)
	if err == nil && clean != "/" && len(bare) < len(path) {
		clean += "/"
	}
	return clean, err
}

// compilePath does the work for what the user wrote, without the slash at its end.
func compilePath(bare, path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", pathError(path, "does not begin with /", "write /"+path)
	}
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return "", pathError(path, "has more than a path", "write "+path[:i])
	}
	if bare == "" {
		return "/", nil
	}
	path = bare
	for i := range len(path) {
		c, escaped := path[i], false
		if c == '%' {
			if c, escaped = unescape([]byte(path[i:])); !escaped {
				return "", pathError(path, "has a % without two hexadecimal digits", "write %25 for a percent sign")
			}
		}
		switch {
		case c == '*':
			return "", pathError(path, "has a *", "write the path alone; what is below it is always included")
		case c < ' ' || c == 0x7f:
			return "", pathError(path, "has a control character", "remove it")
		case c == ';' || c == '\\' || c == '/' && escaped:
			return "", pathError(path, `has a character that servers read differently: ;, \ or an encoded /`, "write a path without it")
		}
	}
	clean := literally.appendTo(nil, []byte(path))
	for segment := range strings.SplitSeq(string(clean[1:]), "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "", pathError(path, "has an empty segment, . or ..", "write the path as it is after following them")
		}
	}
	return string(clean), nil
}

func pathError(path, why, fix string) error {
	return &label.Error{Why: label.Quote(path) + " " + why, Fix: fix}
}

// below tells whether path is prefix or below it.
func below(path []byte, prefix string) bool {
	n := len(prefix)
	if n == 1 {
		return true // "/" holds everything, also "*" and the empty path
	}
	return len(path) >= n && string(path[:n]) == prefix && (len(path) == n || path[n] == '/')
}

// literal tells for each character whether it stands for itself in a path: the
// slash and pchar of RFC 3986 section 3.3.
var literal = func() (is [256]bool) {
	for c := range is {
		is[c] = strings.IndexByte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/", byte(c)) >= 0
	}
	return is
}()

// plain tells whether all servers read path the same: it has no escapes, no
// characters that want one, no dot or empty segments, and no parameters.
func plain(path []byte) bool {
	before := byte(0)
	for _, c := range path {
		if !literal[c] || c == ';' || before == '/' && (c == '/' || c == '.') {
			return false
		}
		before = c
	}
	return true
}
