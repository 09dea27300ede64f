package certs

import (
	"net/netip"
	"slices"
	"strings"

	"portway/certs/localca"
)

// kind says who certifies a name.
type kind int

const (
	public   kind = iota // ACME CAs
	internal             // the internal CA
	refused              // nobody yet, for a reason that the user is told
	own                  // the user has: there is a certificate in the folder of files
)

// classify decides who certifies name, which is normalised. The reason is set
// for refused names only.
func classify(name string, internalOnly bool, isPublic func(netip.Addr) bool) (k kind, reason string) {
	base := strings.TrimPrefix(name, "*.")
	addr, err := netip.ParseAddr(name)
	switch {
	case internalOnly:
		return internal, ""
	case err == nil:
		if isPublic(addr) {
			return public, ""
		}
		return internal, ""
	case !strings.Contains(base, "."), localca.PrivateSuffix(base):
		return internal, ""
	case strings.Contains(name, "_"):
		return refused, "No public CA certifies a name with an underscore. Choose a name with a hyphen instead," +
			" or let the internal CA certify all names."
	default:
		return public, ""
	}
}

// Public tells whether a name is one that a public CA may certify.
func Public(name string) bool {
	k, _ := classify(normalize(name), false, publicAddress)
	return k == public
}

// publicAddress tells whether a CA on the internet could reach addr.
func publicAddress(addr netip.Addr) bool {
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	// Shared by providers (RFC 6598), for documentation (RFC 5737, 3849) and
	// benchmarks (RFC 2544).
	for _, special := range [...]string{
		"100.64.0.0/10", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "240.0.0.0/4", "2001:db8::/32",
	} {
		if netip.MustParsePrefix(special).Contains(addr) {
			return false
		}
	}
	return true
}

func isIP(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// normalize brings a name, as a route or a client gives it, into the one form
// that names are compared in: lower case, no trailing dot, and IP addresses
// canonical and without brackets.
func normalize(name string) string {
	name = strings.TrimSuffix(name, ".")
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return strings.ToLower(name)
}

// names is the immutable set of all names, for look-ups without a lock.
type names struct {
	exact    map[string]*entry
	wildcard map[string]*entry // by what follows the "*"
	rules    []*rule           // for hosts that are not known beforehand
	ips      []string          // sorted
	ipLeaf   *localca.Leaf     // for clients that send no name: one certificate for all addresses
}

// newNames makes the set of entries by name. What old made for the same
// addresses is kept; it may be nil.
func newNames(entries map[string]*entry, old *names) *names {
	n := &names{exact: make(map[string]*entry), wildcard: make(map[string]*entry), ipLeaf: new(localca.Leaf)}
	for name, e := range entries {
		if suffix, ok := strings.CutPrefix(name, "*"); ok {
			n.wildcard[suffix] = e
			continue
		}
		n.exact[name] = e
		if isIP(name) {
			n.ips = append(n.ips, name)
		}
	}
	slices.Sort(n.ips)
	if old != nil && slices.Equal(n.ips, old.ips) {
		n.ipLeaf = old.ipLeaf
	}
	return n
}

// get returns the entry with exactly this name, be it a wildcard.
func (n *names) get(name string) *entry {
	if suffix, ok := strings.CutPrefix(name, "*"); ok {
		return n.wildcard[suffix]
	}
	return n.exact[name]
}

// find returns the entry that covers a normalised host, or nil. A wildcard
// covers one level (RFC 9525 section 6.3).
func (n *names) find(host string) *entry {
	if e := n.exact[host]; e != nil {
		return e
	}
	if dot := strings.IndexByte(host, '.'); dot > 0 {
		return n.wildcard[host[dot:]]
	}
	return nil
}

// all returns every entry, sorted by name.
func (n *names) all() []*entry {
	all := make([]*entry, 0, len(n.exact)+len(n.wildcard))
	for _, e := range n.exact {
		all = append(all, e)
	}
	for _, e := range n.wildcard {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	return all
}
