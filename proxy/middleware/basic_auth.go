package middleware

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/tg123/go-htpasswd"

	"portway/label"
	"portway/proxy/exchange"
)

// basicAuth lets in only those who know a user's password (RFC 7617).
type basicAuth struct {
	users   []user // never empty if it is asked for
	realm   string
	header  string // tells the origin who it is; empty: none
	forward bool   // the origin gets the password too
}

var _ Middleware = (*basicAuth)(nil)

// Labels binds basic-auth and its details.
func (m *basicAuth) Labels(s *label.Set) {
	s.Func("basic-auth", "users",
		"Let in only these users: `name:hash` as htpasswd makes it (bcrypt, apr1 or SHA), one a line or with commas between. "+
			"The application does not get the password.",
		func(value string) (err error) {
			m.users, err = parseUsers(value)
			return err
		}, label.Secret(), label.Example("file:/run/secrets/users"))
	s.String(&m.realm, "basic-auth.realm", "Restricted",
		"What browsers show when they ask for the password.", label.Needs("basic-auth"), label.Example("Staging"))
	s.String(&m.header, "basic-auth.user-header", "",
		"Header field that tells the application the user's name; a client's own is removed.",
		label.Needs("basic-auth"), label.Example("X-User"))
	s.Bool(&m.forward, "basic-auth.forward", false,
		"Give the application the Authorization field too.", label.Needs("basic-auth"), label.Example("true"))
	s.Check("basic-auth.realm", func() error {
		if !validText(m.realm) || strings.ContainsAny(m.realm, `"\`) {
			return &label.Error{Why: `has a quotation mark, a \ or a control character`, Fix: "remove it"}
		}
		return nil
	})
	s.Check("basic-auth.user-header", func() error {
		if !validName(m.header) || ofConnection(m.header) || strings.EqualFold(m.header, "host") || strings.EqualFold(m.header, "authorization") {
			return &label.Error{Why: label.Quote(m.header) + " cannot name a field for that", Fix: "write for example X-User"}
		}
		return nil
	})
}

// Wrap asks for passwords, if there are users.
func (m *basicAuth) Wrap(next exchange.Handler) exchange.Handler {
	if len(m.users) == 0 {
		return next
	}
	h := &guard{
		next:      next,
		challenge: []byte(`Basic realm="` + m.realm + `", charset="UTF-8"`),
		header:    []byte(m.header), lower: strings.ToLower(m.header), forward: m.forward,
		users: make(map[string]*account, len(m.users)),
		slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	_, _ = rand.Read(h.secret[:]) // never fails
	for _, u := range m.users {
		h.users[u.name] = &account{name: []byte(u.name), hash: u.hash}
	}
	h.nobody = h.users[m.users[0].name]
	return h
}

// guard is a basicAuth at work.
//
// A password that was right is remembered by a keyed hash, one for each user, so that
// bcrypt is paid once and not for every request. Passwords that are wrong are never
// remembered, and a route checks no more of them at the same time than half of the
// processors can: guessing does not take the machine away from those who are in already.
type guard struct {
	next      exchange.Handler
	challenge []byte
	header    []byte // empty: none
	lower     string
	forward   bool
	users     map[string]*account
	nobody    *account // checked in place of a user who is not there, so that it takes as long
	secret    [sha256.Size]byte
	slots     chan struct{}
}

var _ exchange.Handler = (*guard)(nil)

type account struct {
	name  []byte
	hash  htpasswd.EncodedPasswd
	right atomic.Pointer[[sha256.Size]byte] // of the password that was right; nil: none yet
}

// maxCredentials bounds name and password together, in bytes.
const maxCredentials = 384

var (
	nameAuthenticate = []byte("WWW-Authenticate")
	colon            = []byte(":")
)

// Serve lets the exchange pass, or asks for a password.
func (h *guard) Serve(ex *exchange.Exchange) {
	f := &ex.Request.Fields
	a := h.check(ex)
	if a == nil {
		refuse(ex, http.StatusUnauthorized, "This site asks for a name and a password.")
		ex.Response.Fields.Add(nameAuthenticate, h.challenge)
		return
	}
	if !h.forward {
		f.Del("authorization")
	}
	if len(h.header) > 0 {
		remove(f, h.lower)
		f.Add(h.header, a.name)
		ex.Identified = true
	}
	h.next.Serve(ex)
}

// check gives the user whose name and password the request has, nil if there is none.
func (h *guard) check(ex *exchange.Exchange) *account {
	f := &ex.Request.Fields
	if f.Count("authorization") != 1 { // of two, the origin might take the other
		return nil
	}
	var keyed [sha256.Size + maxCredentials]byte
	n, ok := decodeBasic(keyed[sha256.Size:], f.Get("authorization"))
	if !ok {
		return nil
	}
	credentials := keyed[sha256.Size : sha256.Size+n]
	name, password, ok := bytes.Cut(credentials, colon)
	if !ok {
		return nil
	}
	copy(keyed[:], h.secret[:])
	sum := sha256.Sum256(keyed[:sha256.Size+n])
	a := h.users[string(name)]
	if a != nil && a.remembers(&sum) || h.match(ex, a, password, &sum) {
		return a
	}
	return nil
}

// match checks a password the long way, when it is its turn. a is nil if there is no
// such user.
func (h *guard) match(ex *exchange.Exchange, a *account, password []byte, sum *[sha256.Size]byte) bool {
	h.slots <- struct{}{}
	defer func() { <-h.slots }()
	switch {
	case ex.Canceled() != nil: // gone while it waited
		return false
	case a == nil:
		h.nobody.hash.MatchesPassword(string(password))
		return false
	case a.remembers(sum): // another request of the same client was first
		return true
	case !a.hash.MatchesPassword(string(password)):
		return false
	}
	right := *sum
	a.right.Store(&right)
	return true
}

// remembers tells whether sum is that of the password that was right.
func (a *account) remembers(sum *[sha256.Size]byte) bool {
	right := a.right.Load()
	return right != nil && subtle.ConstantTimeCompare(right[:], sum[:]) == 1
}

// decodeBasic decodes what follows "Basic" in a field Authorization into dst, and
// tells how long it is. What does not fit is not decoded.
func decodeBasic(dst, value []byte) (n int, ok bool) {
	const scheme = "basic "
	if len(value) < len(scheme) || !exchange.EqualFold(value[:len(scheme)], scheme) {
		return 0, false
	}
	value = bytes.TrimLeft(value[len(scheme):], " ")
	if len(value) == 0 || base64.StdEncoding.DecodedLen(len(value)) > len(dst) {
		return 0, false
	}
	n, err := base64.StdEncoding.Strict().Decode(dst, value)
	return n, err == nil
}
