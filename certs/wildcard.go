package certs

import (
	"context"
	"crypto/tls"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"golang.org/x/net/publicsuffix"
)

// The words of Wishes.Wildcard.
const (
	wildcardAlways = "always" // ask for the wildcard above the name
	wildcardNever  = "never"  // a certificate of its own
)

// parent gives the wildcard that covers a normalised host; none for what is itself
// one, an address, or right below a public suffix.
func parent(host string) string {
	if strings.HasPrefix(host, "*.") || isIP(host) {
		return ""
	}
	_, rest, ok := strings.Cut(host, ".")
	if suffix, _ := publicsuffix.PublicSuffix(host); !ok || len(rest) <= len(suffix) {
		return ""
	}
	return "*." + rest
}

// withWildcards adds the wildcards that names wish for.
func withWildcards(list []Name) []Name {
	for _, n := range list[:len(list):len(list)] {
		above := parent(normalize(n.Name))
		if n.Wildcard != wildcardAlways || above == "" || isRule(n) {
			continue
		}
		n.Name = above
		n.Wildcard, n.Challenge, n.OnDemand = "", "", OnDemand{}
		list = append(list, n) // of names that are there twice, the first counts
	}
	return list
}

// arrange tells entries which wildcard covers them. The caller holds m.mu.
func arrange(all *names) {
	below := make(map[*entry][]*entry)
	for _, e := range all.exact {
		above := all.get(parent(e.name))
		if above != nil && !above.covers(e) {
			above = nil
		}
		if above != nil {
			below[above] = append(below[above], e)
		}
		if e.above.Swap(above) != above {
			e.rouse()
		}
	}
	for _, w := range all.wildcard {
		list := below[w]
		w.below.Store(&list)
	}
}

// covers tells whether the certificate of e, a wildcard, is as wished for other.
func (e *entry) covers(other *entry) bool {
	if e.kind != public || other.kind != public || other.wishes.Wildcard == wildcardNever {
		return false
	}
	same := func(wish, has string) bool { return wish == "" || wish == has }
	return same(other.wishes.Issuer, e.wishes.Issuer) && same(other.wishes.KeyType, e.wishes.KeyType) &&
		same(other.wishes.Profile, e.wishes.Profile) && same(other.wishes.Challenge, acme.ChallengeTypeDNS01)
}

// shared returns the wildcard above e and its certificate, nil if that is not there or
// not good any more.
func (e *entry) shared() (*entry, *tls.Certificate) {
	w := e.above.Load()
	if w == nil {
		return nil, nil
	}
	cert := w.cert.Load()
	if cert == nil || time.Now().After(cert.Leaf.NotAfter) {
		return nil, nil
	}
	return w, cert
}

// best returns the certificate that e is served by, nil if there is none.
func (e *entry) best() *tls.Certificate {
	if _, cert := e.shared(); cert != nil {
		return cert
	}
	return e.cert.Load()
}

// rouse has the entry's goroutine look whether there is something to do.
func (e *entry) rouse() {
	select {
	case e.wake <- struct{}{}:
	default: // it is awake already
	}
}

// rouseBelow tells those that share the certificate of e of a change.
func (e *entry) rouseBelow() {
	if list := e.below.Load(); list != nil {
		for _, other := range *list {
			other.rouse()
		}
	}
}

// leave tells whether the wildcard above cares for the name, or is about to. While
// that fails, the name gets a certificate of its own.
func (k *keeper) leave(ctx context.Context) bool {
	w := k.entry.above.Load()
	if w == nil {
		return false
	}
	select {
	case <-w.loaded:
	case <-ctx.Done():
		return true
	}
	_, cert := k.entry.shared()
	if cert == nil && w.current().State != Pending {
		return false
	}
	if cert != nil {
		k.entry.settle()
	}
	k.next = time.Now().Add(k.timing.check) // it rouses us before
	return true
}

// caring returns the entry whose certificate e is served by.
func (e *entry) caring() *entry {
	if w, _ := e.shared(); w != nil {
		return w
	}
	return e
}
