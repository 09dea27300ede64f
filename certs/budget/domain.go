package budget

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Domain returns what CAs count certificates of name by: the registered domain
// by the public suffix list, an IPv4 address, or the /64 of an IPv6 address.
func Domain(name string) string {
	if addr, err := netip.ParseAddr(name); err == nil {
		addr = addr.Unmap().WithZone("")
		if addr.Is4() {
			return addr.String()
		}
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	name = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, "*."), "."))
	if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return domain
	}
	return name // a public suffix itself, which some serve sites at
}

// domains returns the domains of names, each once.
func domains(names []string) []string {
	var all []string
	for _, name := range names {
		all = append(all, Domain(name))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// set names exactly these names.
func set(names []string) string {
	names = slices.Clone(names)
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 1 {
		return names[0]
	}
	sum := sha256.Sum256([]byte(strings.Join(names, ",")))
	return hex.EncodeToString(sum[:16])
}

// fileName makes a file's name of what names a domain or a CA.
func fileName(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-':
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	name := strings.TrimLeft(b.String(), ".")
	if len(name) > 150 {
		sum := sha256.Sum256([]byte(s))
		name = name[:100] + "_" + hex.EncodeToString(sum[:8])
	}
	return name
}
