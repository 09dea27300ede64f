package balance

import (
	"strings"

	"portway/label"
	"portway/proxy/exchange"
)

// Key is what of a request says where Hash sends it. The zero value is the
// client's address.
type Key struct {
	Header string // lower case; empty: not by a field
	Cookie string // empty: not by a cookie
}

// parse reads client, header:Name or cookie:name.
func (k *Key) parse(value string) error {
	*k = Key{}
	from, name, named := strings.Cut(value, ":")
	name = strings.TrimSpace(name)
	switch {
	case value == "client":
		return nil
	case from == "header" && validCookieName(name) == nil: // both are tokens
		k.Header = strings.ToLower(name)
		return nil
	case from == "cookie" && validCookieName(name) == nil:
		k.Cookie = name
		return nil
	case named && (from == "header" || from == "cookie"):
		return &label.Error{Why: label.Quote(name) + " is no name of a " + from, Fix: "write " + from + ": and a name behind it"}
	}
	return &label.Error{Why: label.Quote(value) + " is nothing to go by", Fix: "write client, header:Name or cookie:name"}
}

// Of is the key of a request as a number that is the same in every process.
func (k *Key) Of(ex *exchange.Exchange) uint64 {
	var v []byte
	switch {
	case k.Header != "":
		v = ex.Request.Fields.Get(k.Header)
	case k.Cookie != "":
		v, _ = cookie(&ex.Request.Fields, k.Cookie)
	}
	if len(v) > 0 {
		return hashOf(v)
	}
	address := ex.ClientIP.As16()
	return hashOf(address[:])
}

// hashOf is FNV-1a, mixed so that all bits depend on all of b.
func hashOf[T ~string | ~[]byte](b T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(b) {
		h = (h ^ uint64(b[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finalizer of MurmurHash3.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
