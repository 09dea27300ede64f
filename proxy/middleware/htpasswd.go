package middleware

import (
	"strconv"
	"strings"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"

	"portway/label"
)

// user is a line of an htpasswd file. Hashes are plain data, so that equal lists of
// users are equal for reflect.DeepEqual.
type user struct {
	name string
	hash htpasswd.EncodedPasswd
}

// maxCost bounds bcrypt's cost: with 15, one check takes some seconds.
const maxCost = 15

// parseUsers reads lines, or items with commas between them, of the form "name:hash".
// Its errors hold nothing of what they are about, for it is secret.
func parseUsers(text string) ([]user, error) {
	wrong := func(n int, why, fix string) error {
		return &label.Error{Why: "entry " + strconv.Itoa(n) + " " + why, Fix: fix, Safe: true}
	}
	const howTo = "make it with htpasswd -nbB NAME PASSWORD (in compose files write every $ twice)"
	var users []user
	known := make(map[string]bool)
	entries := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ',' })
	for i, entry := range entries {
		if entry = strings.TrimSpace(entry); entry == "" || entry[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(entry, ":")
		switch {
		case !ok || name == "":
			return nil, wrong(i+1, "is not of the form name:hash", howTo)
		case known[name]:
			return nil, wrong(i+1, "is for a user who is there already", "remove one of them")
		case !validText(name):
			return nil, wrong(i+1, "has a control character in its name", "remove it")
		}
		parsed, err := parseHash(hash)
		if err != nil {
			return nil, wrong(i+1, err.Error(), howTo)
		}
		known[name] = true
		users = append(users, user{name, parsed})
	}
	if len(users) == 0 {
		return nil, &label.Error{Why: "has no user", Fix: "add a line name:hash; " + howTo, Safe: true}
	}
	return users, nil
}

// hashError is what is wrong with a hash, without any of it.
type hashError string

func (e hashError) Error() string { return string(e) }

const (
	errHashUnknown hashError = "has no hash of a password that is known here: bcrypt, apr1 or {SHA}"
	errHashBroken  hashError = "has a hash that is cut off or changed"
	errHashSlow    hashError = "has a bcrypt hash with a cost above 15, which takes too long to check"
)

// parseHash gives what checks passwords against a hash. Passwords in plain text, and
// what htpasswd calls crypt, are not taken.
func parseHash(hash string) (htpasswd.EncodedPasswd, error) {
	var parse func(string) (htpasswd.EncodedPasswd, error)
	switch {
	case strings.HasPrefix(hash, "$2a$"), strings.HasPrefix(hash, "$2b$"), strings.HasPrefix(hash, "$2y$"):
		cost, err := bcrypt.Cost([]byte(hash))
		switch {
		case err != nil || len(hash) != 60:
			return nil, errHashBroken
		case cost > maxCost:
			return nil, errHashSlow
		}
		return bcryptHash(hash), nil
	case strings.HasPrefix(hash, htpasswd.PrefixCryptApr1):
		if salt, sum, ok := strings.Cut(hash[len(htpasswd.PrefixCryptApr1):], "$"); !ok || salt == "" || len(salt) > 8 || len(sum) != 22 {
			return nil, errHashBroken
		}
		parse = htpasswd.AcceptMd5
	case strings.HasPrefix(hash, "{SHA}"):
		parse = htpasswd.AcceptSha
	default:
		return nil, errHashUnknown
	}
	p, err := parse(hash)
	if err != nil || p == nil {
		return nil, errHashBroken
	}
	return p, nil
}

type bcryptHash string

var _ htpasswd.EncodedPasswd = bcryptHash("")

// MatchesPassword takes as long as the hash's cost says.
func (h bcryptHash) MatchesPassword(password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(h), []byte(password)) == nil
}
